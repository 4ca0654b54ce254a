//! The sizes of a pooling layer's windows.

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
