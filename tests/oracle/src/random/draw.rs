//! Random numbers.

use fastrand::Rng;

/// Random numbers from a seed.
#[derive(Clone, Debug)]
pub struct Draw(Rng);

impl Draw {
    /// A generator. Seeds that follow each other give unrelated numbers.
    pub fn new(seed: u64) -> Self {
        Self(Rng::with_seed(seed))
    }

    /// A number of `0..n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.0.usize(..n)
    }

    /// A number of `from..=to`.
    pub fn between(&mut self, from: usize, to: usize) -> usize {
        from + self.below(to - from + 1)
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of these.
    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    /// A number of a normal distribution, by Box and Muller's transform.
    pub fn normal(&mut self) -> f64 {
        // Above 0, whose logarithm is none.
        let (a, b) = (1.0 - self.0.f64(), self.0.f64());
        (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
    }
}
