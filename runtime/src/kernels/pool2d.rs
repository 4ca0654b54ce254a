//! The sizes of a pooling layer's windows.

use core::ops::Range;

/// The windows of a two-dimensional pooling layer, as `torch.nn.MaxPool2d` and `torch.nn.AvgPool2d` define them.
///
/// Output position `(y, x)` sees the inputs at rows `y * stride[0] - padding[0] + i * dilation[0]`, `i < kernel[0]`, and
/// at the columns that follow likewise; whatever lies outside the input is padding. `output` holds the size already
/// worked out, rounded up where the layer asked for `ceil_mode`, so the last windows may run past the padded input.
/// A one-dimensional layer is the same with height 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2d {
    /// Channels, height and width of one sample's input.
    pub input: [usize; 3],
    /// Channels, height and width of one sample's output; as many channels as the input.
    pub output: [usize; 3],
    /// Height and width of the window, counted in elements it looks at.
    pub kernel: [usize; 2],
    /// Rows and columns from one window to the next.
    pub stride: [usize; 2],
    /// Rows above and below, columns left and right.
    pub padding: [usize; 2],
    /// Rows and columns from one element of a window to the next; `[1, 1]` is a solid window.
    pub dilation: [usize; 2],
}

impl Pool2d {
    /// Elements of one channel of the input.
    pub(crate) fn input_plane(&self) -> usize {
        self.input[1] * self.input[2]
    }

    /// Elements of one channel of the output.
    pub(crate) fn output_plane(&self) -> usize {
        self.output[1] * self.output[2]
    }

    /// Which elements of the window at `position` along an axis (0: rows, 1: columns) lie in the input. Element `i` stands at
    /// `position * stride + i * dilation - padding`.
    #[inline]
    pub(crate) fn taps(&self, axis: usize, position: usize) -> Range<usize> {
        let (padding, dilation, start) = (self.padding[axis], self.dilation[axis], position * self.stride[axis]);
        // A division takes as long as a short row.
        let steps = |distance: usize| if dilation == 1 { distance } else { distance.div_ceil(dilation) };
        let first = steps(padding.saturating_sub(start));
        let end = steps((self.input[axis + 1] + padding).saturating_sub(start)).min(self.kernel[axis]);
        first.min(end)..end
    }

    /// The input rows from the first to the last that the windows of output row `y` see; every `dilation[0]`-th of them is seen.
    #[inline]
    pub(crate) fn input_rows(&self, y: usize) -> Range<usize> {
        let taps = self.taps(0, y);
        // Where none is seen, the padding that the window starts in may reach past row 0.
        let row = |tap: usize| (y * self.stride[0] + tap * self.dilation[0]).saturating_sub(self.padding[0]);
        let first = row(taps.start);
        if taps.is_empty() { first..first } else { first..row(taps.end - 1) + 1 }
    }

    /// The output rows from `first` on, counted through all planes, in groups.
    #[inline(always)]
    pub(crate) fn row_groups(&self, first: usize, count: usize) -> RowGroups {
        let height = self.output[1];
        RowGroups { height, plane: first / height, row: first % height, at: 0, count }
    }

    /// The number of planes (batch x channels) in buffers of these lengths.
    ///
    /// # Panics
    ///
    /// If the lengths are not those of the same whole number of samples.
    #[track_caller]
    pub(crate) fn planes(&self, input_len: usize, output_len: usize) -> usize {
        planes(self.input, self.output, input_len, output_len)
    }
}

/// Rows that a kernel takes together: between writing a row of working memory and reading it at other alignments there should lie more work
/// than a store takes to reach the cache.
pub(crate) const GROUP: usize = 8;

/// Consecutive output rows as groups of at most [`GROUP`] in one plane; see [`Pool2d::row_groups`].
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
            for (plane, rows, at) in op.row_groups(first, count) {
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
