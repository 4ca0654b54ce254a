//! The memory of one pass: every activation at an offset that was planned while compiling, scaled by the batch.

use core::ops::Range;

use crate::buffer::Buffer;
use crate::error::Error;
use crate::parallel::Disjoint;

/// Floats that a program needs: some whatever the batch, the rest per sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArenaSize {
    /// Floats that do not grow with the batch: statistics over a whole batch.
    pub fixed: usize,
    /// Floats per sample.
    pub per_sample: usize,
}

impl ArenaSize {
    /// Floats for a batch, unless the number is past what memory can address.
    pub const fn floats(self, batch: usize) -> Option<usize> {
        let Some(scaled) = self.per_sample.checked_mul(batch) else { return None };
        let Some(floats) = scaled.checked_add(self.fixed) else { return None };
        // An allocation is at most isize::MAX bytes; a float is 4.
        if floats <= isize::MAX as usize / 4 { Some(floats) } else { None }
    }
}

/// Where a value lies in an [`Arena`]: a planned range of floats, per sample or fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    start: usize,
    end: usize,
    per_sample: bool,
}

impl Span {
    /// Whether it holds nothing.
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// The floats `start..end` of each sample. In memory the samples of one value follow each other: with `fixed` floats
/// before, and `batch` samples, it is `fixed + start * batch .. fixed + end * batch`.
///
/// The planner's offsets are multiples of 16 floats, so that every value begins on a cache line for every batch.
pub const fn per_sample(start: usize, end: usize) -> Span {
    Span { start, end, per_sample: true }
}

/// The floats `start..end` of the part that does not grow with the batch.
pub const fn fixed(start: usize, end: usize) -> Span {
    Span { start, end, per_sample: false }
}

/// One aligned block of floats that holds all values of a pass.
#[derive(Debug, Default)]
pub struct Arena {
    floats: Buffer,
    batch: usize,
    fixed: usize,
}

impl Arena {
    /// An arena of no size; [`prepare`](Self::prepare) makes room.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes room for a batch. Allocates only where the arena has never been as large; what it holds is unspecified.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] where the size is past what memory can address, or cannot be had. The arena is then empty.
    pub fn prepare(&mut self, network: &'static str, size: ArenaSize, batch: usize) -> Result<(), Error> {
        let too_large = |bytes| Error::TooLarge { network, what: "activations", batch: Some(batch), bytes };
        (self.batch, self.fixed) = (0, 0);
        let floats = size.floats(batch).ok_or_else(|| too_large(None))?;
        if self.floats.len() < floats {
            // The old block goes first, so that the two are never held together.
            self.floats = Buffer::default();
            self.floats = Buffer::try_zeroed(floats).map_err(|_| too_large(Some(4 * floats)))?;
        }
        (self.batch, self.fixed) = (batch, size.fixed);
        Ok(())
    }

    /// Samples that it has room for, and that a pass works on.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The values at these spans, all writable at once.
    ///
    /// # Panics
    ///
    /// Where two spans overlap or one is past the arena's end: neither comes from a plan that was checked.
    #[inline]
    pub fn get<const N: usize>(&mut self, spans: [Span; N]) -> [&mut [f32]; N] {
        let ranges = spans.map(|span| self.range(span));
        match self.floats.get_disjoint_mut(ranges) {
            Ok(values) => values,
            Err(error) => panic!("the planned values {spans:?} cannot be borrowed together: {error}"),
        }
    }

    /// The value at a span.
    ///
    /// # Panics
    ///
    /// Where the span is past the arena's end.
    pub fn view(&self, span: Span) -> &[f32] {
        &self.floats[self.range(span)]
    }

    /// The values per sample, for threads that write different samples.
    pub(crate) fn samples(&mut self) -> Samples<'_> {
        Samples { batch: self.batch, fixed: self.fixed, floats: Disjoint::new(&mut self.floats) }
    }

    fn range(&self, span: Span) -> Range<usize> {
        if span.per_sample {
            // `prepare` has shown that these products fit, for spans within the planned size.
            self.fixed + span.start * self.batch..self.fixed + span.end * self.batch
        } else {
            span.start..span.end
        }
    }
}

/// The values per sample of an [`Arena`], one sample of one value at a time.
pub(crate) struct Samples<'a> {
    floats: Disjoint<'a, f32>,
    batch: usize,
    fixed: usize,
}

impl Samples<'_> {
    /// One sample of a value.
    ///
    /// # Safety
    ///
    /// Nobody else uses this sample of this value meanwhile.
    ///
    /// # Panics
    ///
    /// Where there is no such sample, or the value does not grow with the batch.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn get(&self, span: Span, sample: usize) -> &mut [f32] {
        assert!(span.per_sample && sample < self.batch, "no such sample");
        let len = span.end - span.start;
        let start = self.fixed + span.start * self.batch + sample * len;
        // SAFETY: the caller's promise.
        unsafe { self.floats.slice(start..start + len) }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    const SIZE: ArenaSize = ArenaSize { fixed: 32, per_sample: 48 };

    #[test]
    fn values_scale_with_the_batch_and_lie_after_the_fixed_part() {
        let mut arena = Arena::new();
        arena.prepare("Net", SIZE, 3).unwrap();
        let [statistics, a, b] = arena.get([fixed(0, 8), per_sample(0, 10), per_sample(16, 48)]);
        assert_eq!((statistics.len(), a.len(), b.len()), (8, 30, 96));
        statistics.fill(1.0);
        a.fill(2.0);
        b.fill(3.0);
        assert_eq!(arena.floats[..8], [1.0; 8]);
        assert_eq!(arena.floats[32..62], [2.0; 30]);
        assert_eq!(arena.floats[32 + 48..32 + 144], [3.0; 96]);
        assert_eq!(arena.view(per_sample(0, 10)), [2.0; 30]);
        assert_eq!(arena.view(per_sample(16, 48)).as_ptr() as usize % 64, 0);
    }

    #[test]
    #[should_panic = "cannot be borrowed together"]
    fn overlapping_values_are_refused() {
        let mut arena = Arena::new();
        arena.prepare("Net", SIZE, 3).unwrap();
        arena.get([per_sample(0, 17), per_sample(16, 48)]);
    }

    #[test]
    fn a_smaller_batch_reuses_the_block() {
        let mut arena = Arena::new();
        arena.prepare("Net", SIZE, 4).unwrap();
        let block = arena.floats.as_ptr();
        arena.prepare("Net", SIZE, 0).unwrap();
        assert!(arena.view(per_sample(0, 10)).is_empty());
        arena.prepare("Net", SIZE, 2).unwrap();
        assert_eq!((arena.floats.as_ptr(), arena.batch()), (block, 2));
    }

    #[test]
    fn sizes_past_memory_are_errors() {
        let mut arena = Arena::new();
        for batch in [usize::MAX, usize::MAX / 48, isize::MAX as usize / 4 / 48 + 1, 1 << 50] {
            let result = arena.prepare("Net", SIZE, batch);
            // Else the compiler leaves an allocation out that nobody reads, and says that it succeeded.
            core::hint::black_box(&mut arena);
            assert!(matches!(result, Err(Error::TooLarge { .. })), "{batch}");
            assert_eq!(arena.batch(), 0);
        }
        arena.prepare("Net", SIZE, 1).unwrap();
    }
}
