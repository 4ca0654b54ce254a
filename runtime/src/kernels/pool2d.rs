//! The sizes of a pooling layer's windows.

pub use castnet_descriptors::Pool2d;

use core::ops::Range;

/// The output rows from `first` on, counted through all planes, in groups.
#[inline(always)]
pub(crate) fn row_groups(op: &Pool2d, first: usize, count: usize) -> RowGroups {
    let height = op.output[1];
    RowGroups { height, plane: first / height, row: first % height, at: 0, count }
}

/// [`planes`] of a pooling layer.
///
/// # Panics
///
/// If the lengths are not those of the same whole number of samples.
#[track_caller]
pub(crate) fn pooled_planes(op: &Pool2d, input_len: usize, output_len: usize) -> usize {
    planes(op.input, op.output, input_len, output_len)
}

/// Rows that a kernel takes together: between writing a row of working memory and reading it at other alignments there should lie more work
/// than a store takes to reach the cache.
pub(crate) const GROUP: usize = 8;

/// Consecutive output rows as groups of at most [`GROUP`] in one plane; see [`row_groups`].
pub(crate) struct RowGroups {
    height: usize,
    plane: usize,
    row: usize,
    at: usize,
    count: usize,
}

impl Iterator for RowGroups {
    /// The plane, its output rows, and how many rows came before.
    type Item = (usize, Range<usize>, usize);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.at == self.count {
            return None;
        }
        let rows = self.row..(self.row + GROUP).min(self.height).min(self.row + self.count - self.at);
        let group = (self.plane, rows.clone(), self.at);
        self.at += rows.len();
        self.row = rows.end;
        if self.row == self.height {
            (self.plane, self.row) = (self.plane + 1, 0);
        }
        Some(group)
    }
}

/// The number of planes (batch x channels) in an input and an output buffer of these lengths, for a layer that works
/// on each channel by itself.
///
/// # Panics
///
/// If the lengths are not those of the same whole number of samples.
#[track_caller]
pub(crate) fn planes(input: [usize; 3], output: [usize; 3], input_len: usize, output_len: usize) -> usize {
    assert_eq!(input[0], output[0], "this layer keeps the number of channels");
    let sample: usize = input.iter().product();
    let batch = input_len / sample;
    assert_eq!(input_len, batch * sample, "the input holds whole samples of {input:?}");
    assert_eq!(output_len, batch * output.iter().product::<usize>(), "the output holds {batch} samples of {output:?}");
    batch * input[0]
}

/// Windows whose output size follows from the input's, rounded up where `ceil` says so; for tests.
#[cfg(all(test, feature = "std"))]
pub(crate) fn sized(
    input: [usize; 3],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
    ceil: bool,
) -> Pool2d {
    let output = |axis: usize| {
        let free = input[axis + 1] + 2 * padding[axis] - dilation[axis] * (kernel[axis] - 1) - 1;
        let steps = if ceil { free.div_ceil(stride[axis]) } else { free / stride[axis] };
        // A window that would start in the padding behind the input is left out.
        steps + usize::from(steps * stride[axis] < input[axis + 1] + padding[axis])
    };
    Pool2d { input, output: [input[0], output(0), output(1)], kernel, stride, padding, dilation }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn row_groups_cover_every_row_once() {
        let op = Pool2d {
            input: [3, 20, 1],
            output: [3, 20, 1],
            kernel: [1, 1],
            stride: [1, 1],
            padding: [0, 0],
            dilation: [1, 1],
        };
        for (first, count) in [(0, 60), (7, 40), (19, 2), (3, 0), (20, 20)] {
            let mut next = first;
            for (plane, rows, at) in row_groups(&op, first, count) {
                assert!(rows.len() <= GROUP && rows.end <= 20);
                assert_eq!((plane * 20 + rows.start, at), (next, next - first));
                next += rows.len();
            }
            assert_eq!(next, first + count);
        }
    }

    #[test]
    fn taps_lie_in_the_input() {
        for (length, kernel, stride, padding, dilation) in
            [(7, 3, 2, 1, 1), (5, 2, 1, 0, 1), (2, 2, 1, 2, 4), (9, 4, 3, 2, 2), (3, 2, 3, 0, 1)]
        {
            let op = Pool2d {
                input: [1, length, 1],
                output: [1, 4, 1],
                kernel: [kernel, 1],
                stride: [stride, 1],
                padding: [padding, 0],
                dilation: [dilation, 1],
            };
            for position in 0..4 {
                let at = |i: usize| (position * stride + i * dilation) as isize - padding as isize;
                let inside: Vec<usize> = (0..kernel).filter(|&i| (0..length as isize).contains(&at(i))).collect();
                assert_eq!(op.taps(0, position).collect::<Vec<_>>(), inside, "{op:?}, {position}");
            }
        }
    }
}
