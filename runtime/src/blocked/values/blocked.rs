//! The blocked layout: nChw16c with a stored halo.
//!
//! Channels are cut into blocks of [`BLOCK`] = 16. A sample is `[block][row][column][channel in block]`, every block surrounded by
//! a stored border of zeros, the *halo*, wide enough for the padding of whatever reads the value, so that a kernel needs no code for
//! edges. Sixteen floats are one vector of AVX-512, two of AVX2 and four of NEON: layouts, offsets and packed weights are therefore
//! the same on every machine and known while compiling.
//!
//! Three rules hold for every value and every kernel of [`crate::blocked`]:
//!
//! - a kernel writes the whole interior of its output (all rows, columns and blocks) and nothing else;
//! - the lanes of the last block past the last channel hold zeros in the interior (kernels write them as zeros; where a convolution's
//!   input is not finite they may become NaN, and no kernel reads them into a channel);
//! - the halo holds what its readers expect, zeros for ordinary padding: whoever owns the buffer writes it, once when no other value
//!   shares the memory or before each run otherwise ([`Blocked::zero_halo`]).

pub use crate::simd::BLOCK;

/// Where one value lies: a run of channel blocks in a buffer, with its halo.
///
/// All sizes are in floats or elements, per sample. A value may be a slice of a larger buffer along the channels (`first_block`,
/// `total_blocks`), which makes a concatenation free where the offsets are multiples of 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// Channels of the value; the last block is filled up with zeros.
    pub channels: usize,
    /// Rows of the interior.
    pub height: usize,
    /// Columns of the interior.
    pub width: usize,
    /// Rows above, columns to the left, rows below, columns to the right of the interior.
    pub halo: [usize; 4],
    /// The buffer's block that holds the first 16 channels of the value.
    pub first_block: usize,
    /// Blocks of the whole buffer.
    pub total_blocks: usize,
}

impl Blocked {
    /// A value in a buffer of its own, without a halo.
    pub const fn new(channels: usize, height: usize, width: usize) -> Self {
        Self { channels, height, width, halo: [0; 4], first_block: 0, total_blocks: channels.div_ceil(BLOCK) }
    }

    /// The same value with a halo of `[top, left, bottom, right]`.
    pub const fn with_halo(self, halo: [usize; 4]) -> Self {
        Self { halo, ..self }
    }

    /// The same value as a slice of a buffer of `total_blocks` blocks, starting at `first_block`.
    pub const fn within(self, first_block: usize, total_blocks: usize) -> Self {
        Self { first_block, total_blocks, ..self }
    }

    /// Blocks of the value: `ceil(channels / 16)`.
    pub const fn blocks(&self) -> usize {
        self.channels.div_ceil(BLOCK)
    }

    /// Channels of a block: fewer than 16 in the last one perhaps.
    pub(crate) const fn block_channels(&self, block: usize) -> usize {
        let left = self.channels - block * BLOCK;
        if left < BLOCK { left } else { BLOCK }
    }

    /// Floats from one row to the next.
    pub const fn row_len(&self) -> usize {
        (self.halo[1] + self.width + self.halo[3]) * BLOCK
    }

    /// Floats from one block to the next.
    pub const fn plane_len(&self) -> usize {
        (self.halo[0] + self.height + self.halo[2]) * self.row_len()
    }

    /// Floats of one sample of the whole buffer (all `total_blocks`).
    pub const fn sample_len(&self) -> usize {
        self.total_blocks * self.plane_len()
    }

    /// Offset of the first interior pixel of the value's first block within a sample.
    pub const fn origin(&self) -> usize {
        self.first_block * self.plane_len() + self.halo[0] * self.row_len() + self.halo[1] * BLOCK
    }

    /// Offset of a pixel's 16 channels within a sample: `block` counts from the value's first block.
    pub const fn offset(&self, block: usize, row: usize, column: usize) -> usize {
        self.origin() + block * self.plane_len() + row * self.row_len() + column * BLOCK
    }

    /// Whether rows follow each other without a gap, so that a block's pixels are one run.
    pub const fn is_dense(&self) -> bool {
        self.halo[1] + self.halo[3] == 0
    }

    /// The number of samples in a buffer of `len` floats.
    ///
    /// # Panics
    /// When `len` is not a multiple of [`Blocked::sample_len`], or when the value does not lie within its buffer.
    pub(crate) fn batch(&self, len: usize) -> usize {
        assert!(self.first_block + self.blocks() <= self.total_blocks, "a blocked value outside its buffer: {self:?}");
        let sample = self.sample_len();
        assert!(sample > 0 && len.is_multiple_of(sample), "{len} floats are no whole number of samples of {sample}");
        len / sample
    }

    /// The number of samples in the buffers of two values of the same size.
    ///
    /// # Panics
    /// When the sizes or the numbers differ, or as [`Blocked::batch`].
    #[track_caller]
    pub(crate) fn same_size(&self, other: &Blocked, len: usize, other_len: usize) -> usize {
        let size = |value: &Blocked| [value.channels, value.height, value.width];
        assert_eq!(size(self), size(other), "input and output are of different sizes");
        let batch = self.batch(len);
        assert_eq!(batch, other.batch(other_len), "input and output hold different numbers of samples");
        batch
    }

    /// Writes zeros into the halo of the value's blocks in every sample of `buffer`; the interior is left alone.
    pub fn zero_halo(&self, buffer: &mut [f32]) {
        self.batch(buffer.len());
        let [top, left, bottom, right] = self.halo;
        if top + left + bottom + right == 0 {
            return;
        }
        let row_len = self.row_len();
        let plane_len = self.plane_len();
        for sample in buffer.chunks_exact_mut(self.sample_len()) {
            let start = self.first_block * plane_len;
            for plane in sample[start..start + self.blocks() * plane_len].chunks_exact_mut(plane_len) {
                let (above, rest) = plane.split_at_mut(top * row_len);
                let (rows, below) = rest.split_at_mut(self.height * row_len);
                above.fill(0.0);
                below.fill(0.0);
                if left + right > 0 {
                    for row in rows.chunks_exact_mut(row_len) {
                        row[..left * BLOCK].fill(0.0);
                        row[row_len - right * BLOCK..].fill(0.0);
                    }
                }
            }
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn offsets_follow_the_layout() {
        let value = Blocked::new(20, 3, 5).with_halo([1, 2, 0, 1]).within(1, 4);
        assert_eq!(value.blocks(), 2);
        assert_eq!(value.row_len(), 8 * 16);
        assert_eq!(value.plane_len(), 4 * 8 * 16);
        assert_eq!(value.sample_len(), 4 * 4 * 8 * 16);
        assert_eq!(value.origin(), 4 * 8 * 16 + 8 * 16 + 2 * 16);
        assert_eq!(value.offset(1, 2, 3), value.origin() + 4 * 8 * 16 + 2 * 8 * 16 + 3 * 16);
        assert_eq!(value.batch(2 * value.sample_len()), 2);
    }

    #[test]
    fn zero_halo_leaves_the_interior_and_other_blocks() {
        let value = Blocked::new(17, 2, 3).with_halo([1, 0, 2, 1]).within(1, 4);
        let mut buffer = vec![f32::NAN; 2 * value.sample_len()];
        value.zero_halo(&mut buffer);
        let mut zeros = 0;
        for (i, sample) in buffer.chunks(value.sample_len()).enumerate() {
            for block in 0..value.total_blocks {
                for row in 0..5 {
                    for column in 0..4 {
                        let at = block * value.plane_len() + row * value.row_len() + column * BLOCK;
                        let interior = (1..3).contains(&row) && column < 3;
                        let ours = (1..3).contains(&block);
                        for lane in 0..BLOCK {
                            assert_eq!(sample[at + lane].is_nan(), interior || !ours, "{i} {block} {row} {column}");
                            zeros += usize::from(sample[at + lane] == 0.0);
                        }
                    }
                }
            }
        }
        assert_eq!(zeros, 2 * 2 * (5 * 4 - 2 * 3) * BLOCK);
    }
}
