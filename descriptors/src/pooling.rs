//! Pooling and unpooling.

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
    #[inline]
    pub fn input_plane(&self) -> usize {
        self.input[1] * self.input[2]
    }

    /// Elements of one channel of the output.
    #[inline]
    pub fn output_plane(&self) -> usize {
        self.output[1] * self.output[2]
    }

    /// Which elements of the window at `position` along an axis (0: rows, 1: columns) lie in the input. Element `i` stands at
    /// `position * stride + i * dilation - padding`.
    #[inline]
    pub fn taps(&self, axis: usize, position: usize) -> Range<usize> {
        let (padding, dilation, start) = (self.padding[axis], self.dilation[axis], position * self.stride[axis]);
        // A division takes as long as a short row.
        let steps = |distance: usize| if dilation == 1 { distance } else { distance.div_ceil(dilation) };
        let first = steps(padding.saturating_sub(start));
        let end = steps((self.input[axis + 1] + padding).saturating_sub(start)).min(self.kernel[axis]);
        first.min(end)..end
    }

    /// The input rows from the first to the last that the windows of output row `y` see; every `dilation[0]`-th of them is seen.
    #[inline]
    pub fn input_rows(&self, y: usize) -> Range<usize> {
        let taps = self.taps(0, y);
        // Where none is seen, the padding that the window starts in may reach past row 0.
        let row = |tap: usize| (y * self.stride[0] + tap * self.dilation[0]).saturating_sub(self.padding[0]);
        let first = row(taps.start);
        if taps.is_empty() { first..first } else { first..row(taps.end - 1) + 1 }
    }
}

/// An average pooling layer (`torch.nn.AvgPool2d`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvgPool2d {
    /// The windows, of dilation 1.
    pub pool: Pool2d,
    /// Whether the divisor counts elements of the padding; they are zero in the sum anyhow.
    pub count_include_pad: bool,
    /// The divisor, whatever the window holds (`divisor_override`).
    pub divisor: Option<usize>,
}

impl AvgPool2d {
    /// The factors of the divisor of the window at row `y` and column `x`, one for either axis.
    ///
    /// As in PyTorch: the elements of the window that lie in the input, and with `count_include_pad` those in the padding too. Of a window
    /// that runs past the padding (`ceil_mode`), the part beyond never counts. With `divisor`, that and 1.
    #[inline]
    pub fn divisor(&self, axis: usize, position: usize) -> f32 {
        let op = &self.pool;
        let (length, padding, start) = (op.input[axis + 1], op.padding[axis], position * op.stride[axis]);
        let count = match (self.divisor, axis) {
            (Some(divisor), 0) => divisor,
            (Some(_), _) => 1,
            (None, _) if self.count_include_pad => op.kernel[axis].min(length + 2 * padding - start),
            (None, _) => op.taps(axis, position).len(),
        };
        count as f32
    }

    /// Whether one window holds all of the input.
    #[inline]
    pub fn is_global(&self) -> bool {
        let op = &self.pool;
        op.output[1..] == [1, 1] && op.taps(0, 0).len() == op.input[1] && op.taps(1, 0).len() == op.input[2]
    }
}

/// A power-average pooling layer (`torch.nn.LPPool2d`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LpPool2d {
    /// The windows, without padding and of dilation 1.
    pub pool: Pool2d,
    /// The power to which inputs are raised, and whose root their sum becomes; above 0.
    pub norm_type: f32,
}

impl LpPool2d {
    /// The pooling of the powers: their means, of which the window's size makes sums. A window that runs past the input (`ceil_mode`) has
    /// the mean of what it holds times the size of a whole one, as in PyTorch.
    #[inline]
    pub fn means(&self) -> AvgPool2d {
        AvgPool2d { pool: self.pool, count_include_pad: true, divisor: None }
    }

    /// Elements of a whole window.
    #[inline]
    pub fn window_len(&self) -> usize {
        self.pool.kernel[0] * self.pool.kernel[1]
    }
}

/// The sizes of an adaptive pooling layer (`torch.nn.AdaptiveAvgPool2d`, `torch.nn.AdaptiveMaxPool2d`).
///
/// Along an axis of `n` elements, window `i` of `m` runs from `floor(i * n / m)` to `ceil((i + 1) * n / m)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdaptivePool2d {
    /// Channels, height and width of one sample's input.
    pub input: [usize; 3],
    /// Channels, height and width of one sample's output; as many channels as the input.
    pub output: [usize; 3],
}

impl AdaptivePool2d {
    /// Window `i` along an axis (0: rows, 1: columns).
    #[inline]
    pub fn window(&self, axis: usize, i: usize) -> Range<usize> {
        let (length, count) = (self.input[axis + 1], self.output[axis + 1]);
        i * length / count..((i + 1) * length).div_ceil(count)
    }

    /// The windows along an axis that hold element `at`: the inverse of [`AdaptivePool2d::window`].
    #[inline]
    pub fn holders(&self, axis: usize, at: usize) -> Range<usize> {
        let (length, count) = (self.input[axis + 1], self.output[axis + 1]);
        // Window i ends behind `at` if (i + 1) * length > at * count, and starts at or before it if i * length < (at + 1) * count.
        at * count / length..((at + 1) * count).div_ceil(length)
    }

    /// Elements of one channel of the input, and of the output.
    #[inline]
    pub const fn planes(&self) -> (usize, usize) {
        (self.input[1] * self.input[2], self.output[1] * self.output[2])
    }
}

/// The sizes of a max unpooling layer (`torch.nn.MaxUnpool2d`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxUnpool2d {
    /// Channels, height and width of one sample's input: the output of the pooling layer that found the indices.
    pub input: [usize; 3],
    /// Channels, height and width of one sample's output.
    pub output: [usize; 3],
}

/// What becomes of 2x2 pixels, windows being two pixels apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool2x2 {
    /// The largest; NaN where there is one (`torch.nn.MaxPool2d`).
    Max,
    /// The mean (`torch.nn.AvgPool2d`).
    Mean,
}
