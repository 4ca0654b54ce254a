//! How work is cut into tasks.

use super::threads;

/// The `index`-th of `pieces` parts of `len` elements, as `[start, end]`: it starts at `len * index / pieces`, computed without overflow,
/// so that lengths differ by at most one and the longer parts are spread evenly.
pub(crate) const fn part(len: usize, pieces: usize, index: usize) -> [usize; 2] {
    let (each, more) = (len / pieces, len % pieces);
    [index * each + index * more / pieces, (index + 1) * each + (index + 1) * more / pieces]
}

/// How many of `items` that move `floats` floats each a task should take, for work that is bound by memory rather than by arithmetic.
///
/// A task moves 2^15 floats: 128 KiB, some four microseconds at 40 GB/s, beside which a fork of one microsecond is small. There are at
/// most 256 tasks, which is plenty to share out evenly.
pub(crate) fn items_per_task(items: usize, floats: usize) -> usize {
    (1usize << 15).div_ceil(floats.max(1)).max(items.div_ceil(256))
}

/// Into how many tasks to cut what `most` tasks would be worth their handing out (5 µs each, say).
///
/// Several for each thread even out what other programs take of a processor. Where they are short, though, a thread that begins a
/// microsecond late loses some of them to another, which then owns cache lines that in the next layer the first will want: so there are
/// four for each thread where these take some 20 µs, and else two.
pub(crate) fn tasks(most: usize) -> usize {
    match threads() {
        1 => 1,
        threads if most >= 16 * threads => 4 * threads,
        threads => most.clamp(1, 2 * threads),
    }
}
