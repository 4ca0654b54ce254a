//! Which tiles are compiled, and how rows and columns are cut into them.

use crate::simd::Isa;

/// Most pixels of a tile; see the module's table.
pub(in crate::blocked) const fn pixel_limit(isa: Isa) -> usize {
    match isa {
        Isa::Avx512 => 14,
        Isa::Avx2 | Isa::Neon => 6,
        Isa::Scalar => 2,
    }
}

/// The distance between the inputs of neighbouring pixels, in floats, if tiles are compiled for it, else 0.
pub(in crate::blocked) const fn distance(input: usize, lane_stride: usize, outputs: [usize; 2]) -> usize {
    match (input, lane_stride, outputs) {
        (1 | 2 | 16 | 32, 1, [16, 16]) => input,
        _ => 0,
    }
}

/// Cuts the columns `from..to` into tiles of widths that are compiled for a distance: `(start, width, count)`.
///
/// Most have tiles of even widths alone, half as much to compile; what is odd begins with a tile of 3 or 1. At the distance 16, where
/// nearly all the work is, there is every width.
pub(in crate::blocked) fn widths(
    isa: Isa,
    distance: usize,
    from: usize,
    to: usize,
) -> impl Iterator<Item = (usize, usize, usize)> {
    let (limit, len) = (pixel_limit(isa), to - from);
    let (odd, unit) = match (distance, len) {
        (16, _) => (0, 1),
        (32, 7) if limit >= 7 => (7, 1),
        (_, len) if len % 2 == 0 => (0, 2),
        (_, 1) => (1, 1),
        _ if limit < 3 => (1, 2),
        _ => (3, 2),
    };
    let rest = segments(0, (len - odd) / unit, limit / unit);
    let rest = rest.map(move |(start, width, count)| (from + odd + unit * start, unit * width, count));
    (odd > 0).then_some((from, odd, 1)).into_iter().chain(rest)
}

/// Rows of a tile `columns` wide: as many as the registers hold, of those that are compiled. All smaller numbers exist too.
pub(in crate::blocked) const fn tile_rows(isa: Isa, distance: usize, columns: usize) -> usize {
    let most = match (distance, columns) {
        (16, 2 | 3) => 4,
        (16 | 32, 4) => 3,
        (16, 5..=7) | (32, 2 | 7) => 2,
        _ => 1,
    };
    let fit = pixel_limit(isa) / columns;
    if fit < most { fit } else { most }
}

/// Cuts `from..to` into pieces of at most `limit` elements whose lengths differ by at most one: `(start, length, count)` of the longer
/// pieces, then of the shorter.
pub(in crate::blocked) fn segments(
    from: usize,
    to: usize,
    limit: usize,
) -> impl Iterator<Item = (usize, usize, usize)> {
    let len = to - from;
    let pieces = len.div_ceil(limit);
    let (short, longer) = (len / pieces.max(1), len % pieces.max(1));
    let split = from + longer * (short + 1);
    [(from, short + 1, longer), (split, short, pieces - longer)].into_iter().filter(|&(_, _, count)| count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_compiled_and_cover_every_column_once() {
        for isa in Isa::ALL {
            for distance in [0, 1, 2, 16, 32] {
                for len in 0..100 {
                    let mut at = 3;
                    for (start, width, count) in widths(isa, distance, 3, 3 + len) {
                        assert_eq!(start, at);
                        assert!(
                            width <= pixel_limit(isa) && (distance == 16 || width < 4 || width % 2 == 0 || width == 7)
                        );
                        assert!((1..=pixel_limit(isa) / width).contains(&tile_rows(isa, distance, width)));
                        at += width * count;
                    }
                    assert_eq!(at, 3 + len);
                }
            }
        }
    }

    #[test]
    fn segments_cover_every_element_once() {
        for limit in 1..=14 {
            for len in 1..100 {
                let mut at = 3;
                for (start, width, count) in segments(3, 3 + len, limit) {
                    assert_eq!(start, at);
                    assert!(width > 0 && width <= limit);
                    at += width * count;
                }
                assert_eq!(at, 3 + len);
            }
        }
    }
}
