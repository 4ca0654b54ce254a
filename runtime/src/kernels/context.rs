//! What every kernel needs besides its data.

use super::Random;
use super::conv2d::Plan;
use crate::buffer::Buffer;
use crate::simd::Isa;

/// Working memory of at least so many floats is given a huge page: kernels that go through it in large steps (the planes of a
/// Winograd transform, the rows of a transposition) write to more pages than the processor keeps at hand, 16 on recent Xeons, and a
/// store waits some 7 cycles for each miss.
const LARGE: usize = 1 << 14;

/// What every kernel needs besides its data: the instruction set, working memory, random numbers.
#[derive(Clone, Debug)]
pub struct Context {
    /// The instruction set to use. One that the machine lacks runs as scalar.
    pub isa: Isa,
    /// What dropout draws from.
    pub random: Random,
    /// Whether weights of which the caches hold a part are read from their end: every other pass of an inference program, so that it
    /// begins with what the last one read last.
    pub(crate) backwards: bool,
    scratch: Buffer,
    /// Tables of the convolution that ran last, kept for their memory.
    pub(super) plan: Plan,
}

impl Context {
    /// A context with [`Isa::active`], no working memory yet, and seed and step 0.
    pub fn new() -> Self {
        Context {
            isa: Isa::active(),
            random: Random::default(),
            backwards: false,
            scratch: Buffer::new(),
            plan: Plan::default(),
        }
    }

    /// Prepares a pass of an inference program.
    pub(crate) fn begin(&mut self, isa: Isa) {
        self.isa = isa;
        self.backwards = !self.backwards;
    }

    /// Working memory of `len` floats on a 64-byte boundary, holding anything. Grows when it must, so a steady loop allocates nothing.
    pub fn scratch(&mut self, len: usize) -> &mut [f32] {
        self.reserve(len);
        &mut self.scratch[..len]
    }

    /// Takes the working memory out, at least `len` floats, so that the context can be used beside it.
    /// Hand it back with [`Context::put_scratch`], or the next kernel allocates anew.
    pub fn take_scratch(&mut self, len: usize) -> Buffer {
        self.reserve(len);
        core::mem::take(&mut self.scratch)
    }

    /// Hands back what [`Context::take_scratch`] took. Of two, the larger is kept.
    pub fn put_scratch(&mut self, scratch: Buffer) {
        if scratch.len() > self.scratch.len() {
            self.scratch = scratch;
        }
    }

    /// Fills the working memory with NaN, which a kernel that reads what it has not written shows.
    #[cfg(all(test, feature = "std"))]
    pub(crate) fn poison_scratch(&mut self) {
        self.scratch.fill(f32::NAN);
    }

    fn reserve(&mut self, len: usize) {
        if self.scratch.len() < len {
            // The old one goes first: it holds nothing that is needed, and both may be large.
            self.scratch = Buffer::new();
            self.scratch =
                Buffer::zeroed(if len < LARGE { len } else { len.max(Buffer::HUGE_PAGE / size_of::<f32>()) });
        }
    }
}

impl Default for Context {
    fn default() -> Self {
        Context::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scratch_grows_and_stays() {
        let mut context = Context::new();
        assert!(context.scratch(0).is_empty());
        context.scratch(100).fill(1.0);
        let address = context.scratch(100).as_ptr();
        assert_eq!((context.scratch(50).as_ptr(), context.scratch(50).len()), (address, 50));
        let taken = context.take_scratch(100);
        assert_eq!(taken.as_ptr(), address);
        context.put_scratch(taken);
        assert_eq!(context.scratch(100).as_ptr(), address);
        context.put_scratch(Buffer::zeroed(10));
        assert_eq!(context.scratch(100).as_ptr(), address);
    }
}
