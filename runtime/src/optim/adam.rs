//! Adam and AdamW.

use alloc::vec;

use super::{CHUNK, Optimizer, OptimizerState, allocate, check_lengths, check_setting, unknown};
use crate::buffer::Buffer;
use crate::error::Error;
use crate::parallel;
use crate::simd::{Isa, Kernel, Simd, dispatch};

/// What both rules share: settings, moments and the count of steps.
#[derive(Clone, Debug, PartialEq)]
struct Moments {
    learning_rate: f64,
    betas: [f64; 2],
    eps: f64,
    weight_decay: f64,
    steps: u64,
    exp_avg: Buffer,
    exp_avg_sq: Buffer,
}

impl Moments {
    fn new(learning_rate: f64, weight_decay: f64) -> Self {
        Self {
            learning_rate,
            betas: [0.9, 0.999],
            eps: 1e-8,
            weight_decay,
            steps: 0,
            exp_avg: Buffer::new(),
            exp_avg_sq: Buffer::new(),
        }
    }

    fn check(&self, name: &'static str) -> Result<(), Error> {
        check_setting(name, "the learning rate", self.learning_rate, 0.0.., "0 or more")?;
        check_setting(name, "beta1", self.betas[0], 0.0..1.0, "0 or more and below 1")?;
        check_setting(name, "beta2", self.betas[1], 0.0..1.0, "0 or more and below 1")?;
        check_setting(name, "eps", self.eps, 0.0.., "0 or more")?;
        check_setting(name, "the weight decay", self.weight_decay, 0.0.., "0 or more")
    }

    fn step(
        &mut self,
        name: &'static str,
        decoupled: bool,
        parameters: &mut [f32],
        gradients: &[f32],
    ) -> Result<(), Error> {
        self.check(name)?;
        check_lengths(name, parameters, gradients, &[&self.exp_avg, &self.exp_avg_sq])?;
        if self.exp_avg.is_empty() || self.exp_avg_sq.is_empty() {
            let moments = [allocate(name, parameters.len())?, allocate(name, parameters.len())?];
            [self.exp_avg, self.exp_avg_sq] = moments;
        }
        self.steps += 1;
        // In double precision: 1 - 0.999 has an error of 1e-5 in single precision.
        let corrections = self.betas.map(|beta| 1.0 - power(beta, self.steps));
        let rule = Rule {
            decay: if decoupled { 0.0 } else { self.weight_decay as f32 },
            keep: if decoupled { (1.0 - self.learning_rate * self.weight_decay) as f32 } else { 1.0 },
            new: self.betas.map(|beta| (1.0 - beta) as f32),
            beta2: self.betas[1] as f32,
            step: (self.learning_rate / corrections[0]) as f32,
            correction: corrections[1] as f32,
            eps: self.eps as f32,
        };
        let isa = Isa::active();
        parallel::for_each_chunk3(
            parameters,
            CHUNK,
            &mut self.exp_avg,
            CHUNK,
            &mut self.exp_avg_sq,
            CHUNK,
            |i, parameters, mean, square| {
                let gradients = &gradients[i * CHUNK..][..parameters.len()];
                dispatch(isa, Step { rule, parameters, gradients, mean, square });
            },
        );
        Ok(())
    }

    fn state(&self) -> OptimizerState {
        OptimizerState {
            numbers: vec![
                ("learning_rate", self.learning_rate),
                ("beta1", self.betas[0]),
                ("beta2", self.betas[1]),
                ("eps", self.eps),
                ("weight_decay", self.weight_decay),
                ("step", self.steps as f64),
            ],
            buffers: vec![("exp_avg", self.exp_avg.clone()), ("exp_avg_sq", self.exp_avg_sq.clone())],
        }
    }

    fn from_state(name: &'static str, state: OptimizerState) -> Result<Self, Error> {
        let mut new = Self::new(0.0, 0.0);
        for (setting, number) in state.numbers {
            match setting {
                "learning_rate" => new.learning_rate = number,
                "beta1" => new.betas[0] = number,
                "beta2" => new.betas[1] = number,
                "eps" => new.eps = number,
                "weight_decay" => new.weight_decay = number,
                "step" => {
                    // Up to 2^53 a float counts exactly.
                    check_setting(name, "the count of steps", number, 0.0..=9_007_199_254_740_992.0, "0 or more")?;
                    new.steps = number as u64;
                }
                _ => return Err(unknown(name, setting)),
            }
        }
        for (moment, buffer) in state.buffers {
            match moment {
                "exp_avg" => new.exp_avg = buffer,
                "exp_avg_sq" => new.exp_avg_sq = buffer,
                _ => return Err(unknown(name, moment)),
            }
        }
        new.check(name)?;
        Ok(new)
    }
}

macro_rules! optimizer {
    ($(#[$doc:meta])* $Name:ident $name:literal $decoupled:literal $decay:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $Name(Moments);

        impl $Name {
            #[doc = concat!(
                "With this learning rate (PyTorch's default is 1e-3), betas 0.9 and 0.999, eps 1e-8 and weight decay ",
                stringify!($decay), "."
            )]
            pub fn new(learning_rate: f64) -> Self {
                Self(Moments::new(learning_rate, $decay))
            }

            /// Sets β₁ and β₂: how much of the moments a step keeps.
            pub fn betas(mut self, beta1: f64, beta2: f64) -> Self {
                self.0.betas = [beta1, beta2];
                self
            }

            /// Sets ε, which keeps the division finite.
            pub fn eps(mut self, eps: f64) -> Self {
                self.0.eps = eps;
                self
            }

            /// Sets the weight decay λ: 0 or more.
            pub fn weight_decay(mut self, weight_decay: f64) -> Self {
                self.0.weight_decay = weight_decay;
                self
            }
        }

        impl Optimizer for $Name {
            fn name(&self) -> &'static str {
                $name
            }

            fn check(&self) -> Result<(), Error> {
                self.0.check($name)
            }

            fn step(&mut self, parameters: &mut [f32], gradients: &[f32]) -> Result<(), Error> {
                self.0.step($name, $decoupled, parameters, gradients)
            }

            fn learning_rate(&self) -> f64 {
                self.0.learning_rate
            }

            fn set_learning_rate(&mut self, learning_rate: f64) {
                self.0.learning_rate = learning_rate;
            }

            fn state(&self) -> OptimizerState {
                self.0.state()
            }

            fn set_state(&mut self, state: OptimizerState) -> Result<(), Error> {
                self.0 = Moments::from_state($name, state)?;
                Ok(())
            }
        }
    };
}

optimizer! {
    /// Adam, as [`torch.optim.Adam`](https://pytorch.org/docs/stable/generated/torch.optim.Adam.html) (Kingma and Ba,
    /// 2015): weight decay is added to the gradient.
    ///
    /// g ← g + λp; m ← β₁m + (1 - β₁)g; v ← β₂v + (1 - β₂)g²; p ← p - γ m̂ / (√v̂ + ε), where m̂ = m / (1 - β₁ᵗ) and
    /// v̂ = v / (1 - β₂ᵗ) in step t.
    ///
    /// ```
    /// use castnet::{Adam, Optimizer};
    ///
    /// let mut parameters = [1.0, 2.0];
    /// Adam::new(1e-3).betas(0.9, 0.99).step(&mut parameters, &[0.5, -7.0])?;
    /// assert!((parameters[0] - 0.999).abs() < 1e-6 && (parameters[1] - 2.001).abs() < 1e-6);
    /// # Ok::<(), castnet::Error>(())
    /// ```
    Adam "adam" false 0.0
}

optimizer! {
    /// AdamW, as [`torch.optim.AdamW`](https://pytorch.org/docs/stable/generated/torch.optim.AdamW.html) (Loshchilov
    /// and Hutter, 2019): Adam with a weight decay that the moments do not see, p ← p - γλp before the step.
    ///
    /// ```
    /// use castnet::{AdamW, Optimizer};
    ///
    /// let mut parameters = [1.0, 2.0];
    /// AdamW::new(1e-3).weight_decay(0.1).step(&mut parameters, &[0.5, 0.0])?;
    /// assert!((parameters[0] - 0.9989).abs() < 1e-6 && (parameters[1] - 1.9998).abs() < 1e-6);
    /// # Ok::<(), castnet::Error>(())
    /// ```
    AdamW "adamw" true 0.01
}

/// `base` to a whole power, by squaring: the same on every machine, and without the standard library.
fn power(mut base: f64, mut exponent: u64) -> f64 {
    let mut product = 1.0;
    while exponent > 0 {
        if exponent % 2 == 1 {
            product *= base;
        }
        base *= base;
        exponent /= 2;
    }
    product
}

#[derive(Clone, Copy)]
struct Rule {
    /// λ where it is added to the gradient, else 0.
    decay: f32,
    /// 1 - γλ where it is not, else 1.
    keep: f32,
    /// 1 - β₁ and 1 - β₂.
    new: [f32; 2],
    beta2: f32,
    /// γ / (1 - β₁ᵗ)
    step: f32,
    /// 1 - β₂ᵗ
    correction: f32,
    eps: f32,
}

struct Step<'a> {
    rule: Rule,
    parameters: &'a mut [f32],
    gradients: &'a [f32],
    mean: &'a mut [f32],
    square: &'a mut [f32],
}

impl Kernel for Step<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { rule, parameters, gradients, mean, square } = self;
        let correction = simd.sqrt(simd.splat(rule.correction));
        let [decay, keep, new1, new2, beta2, step, eps] =
            [rule.decay, rule.keep, rule.new[0], rule.new[1], rule.beta2, rule.step, rule.eps]
                .map(|number| simd.splat(number));
        let chunks = parameters.chunks_mut(S::LANES).zip(gradients.chunks(S::LANES));
        let moments = mean.chunks_mut(S::LANES).zip(square.chunks_mut(S::LANES));
        for ((parameters, gradients), (mean, square)) in chunks.zip(moments) {
            let p = simd.load_partial(parameters);
            let g = simd.mul_add(decay, p, simd.load_partial(gradients));
            let m = simd.load_partial(mean);
            let m = simd.mul_add(new1, simd.sub(g, m), m);
            let v = simd.mul_add(simd.mul(new2, g), g, simd.mul(beta2, simd.load_partial(square)));
            simd.store_partial(m, mean);
            simd.store_partial(v, square);
            let denominator = simd.add(simd.div(simd.sqrt(v), correction), eps);
            let p = simd.mul(keep, p);
            simd.store_partial(simd.neg_mul_add(step, simd.div(m, denominator), p), parameters);
        }
    }
}
