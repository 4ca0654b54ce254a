//! Layers of the training program on blocked values.

use crate::blocked::Blocked;

/// A layer, described as for training, that reads and writes blocked values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OnBlocked<T> {
    /// The sizes of the layer; they agree with those of the values.
    pub layer: T,
    /// Where its input lies. The halo is not read.
    pub input: Blocked,
    /// Where its output lies. The halo is not written.
    pub output: Blocked,
}

impl<T> OnBlocked<T> {
    /// Asserts that the values have the layer's sizes and the slices hold equally many samples, and returns their number.
    ///
    /// # Panics
    /// When they do not.
    #[track_caller]
    pub(super) fn check(&self, sizes: [[usize; 3]; 2], input: usize, output: usize) -> usize {
        for (value, size) in [self.input, self.output].into_iter().zip(sizes) {
            assert_eq!([value.channels, value.height, value.width], size, "a value of another size than the layer's");
        }
        let batch = self.input.batch(input);
        assert_eq!(batch, self.output.batch(output), "input and output hold different numbers of samples");
        batch
    }
}
