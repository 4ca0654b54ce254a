//! Stochastic gradient descent.

use alloc::string::ToString;
use alloc::vec;

use super::{CHUNK, Optimizer, OptimizerState, allocate, check_lengths, check_setting, unknown};
use crate::buffer::Buffer;
use crate::error::Error;
use crate::parallel;
use crate::simd::{Isa, Kernel, Simd, dispatch};

/// Stochastic gradient descent with momentum, as [`torch.optim.SGD`](
/// https://pytorch.org/docs/stable/generated/torch.optim.SGD.html).
///
/// For a gradient g and a parameter p, with weight decay λ, momentum μ, dampening τ and learning rate γ:
/// g ← g + λp; b ← μb + (1 - τ)g, in the first step b ← g; p ← p - γb, with Nesterov p ← p - γ(g + μb).
///
/// ```
/// use castnet::{Optimizer, Sgd};
///
/// let mut optimizer = Sgd::new(0.1).momentum(0.9).weight_decay(5e-4);
/// let mut parameters = [1.0, 2.0];
/// optimizer.step(&mut parameters, &[0.5, 0.0])?;
/// assert!((parameters[0] - 0.94995).abs() < 1e-6);
/// # Ok::<(), castnet::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Sgd {
    learning_rate: f64,
    momentum: f64,
    dampening: f64,
    nesterov: bool,
    weight_decay: f64,
    momentum_buffer: Buffer,
}

impl Sgd {
    /// With this learning rate, and momentum, dampening and weight decay 0.
    pub fn new(learning_rate: f64) -> Self {
        Self {
            learning_rate,
            momentum: 0.0,
            dampening: 0.0,
            nesterov: false,
            weight_decay: 0.0,
            momentum_buffer: Buffer::new(),
        }
    }

    /// Sets the momentum μ: 0 or more, commonly 0.9.
    pub fn momentum(self, momentum: f64) -> Self {
        Self { momentum, ..self }
    }

    /// Sets the dampening τ of the momentum.
    pub fn dampening(self, dampening: f64) -> Self {
        Self { dampening, ..self }
    }

    /// Turns Nesterov momentum on or off. It needs a momentum and no dampening.
    pub fn nesterov(self, nesterov: bool) -> Self {
        Self { nesterov, ..self }
    }

    /// Sets the weight decay λ: 0 or more.
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        Self { weight_decay, ..self }
    }
}

impl Optimizer for Sgd {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn check(&self) -> Result<(), Error> {
        check_setting(self.name(), "the learning rate", self.learning_rate, 0.0.., "0 or more")?;
        check_setting(self.name(), "the momentum", self.momentum, 0.0.., "0 or more")?;
        check_setting(self.name(), "the dampening", self.dampening, .., "finite")?;
        check_setting(self.name(), "the weight decay", self.weight_decay, 0.0.., "0 or more")?;
        if self.nesterov && (self.momentum == 0.0 || self.dampening != 0.0) {
            let message = "Nesterov momentum needs a momentum above 0 and a dampening of 0".to_string();
            return Err(Error::Setting { optimizer: self.name(), message });
        }
        Ok(())
    }

    fn step(&mut self, parameters: &mut [f32], gradients: &[f32]) -> Result<(), Error> {
        self.check()?;
        check_lengths(self.name(), parameters, gradients, &[&self.momentum_buffer])?;
        let isa = Isa::active();
        let rule = Rule {
            learning_rate: self.learning_rate as f32,
            momentum: self.momentum as f32,
            undamped: (1.0 - self.dampening) as f32,
            nesterov: self.nesterov,
            weight_decay: self.weight_decay as f32,
        };
        if self.momentum == 0.0 {
            parallel::for_each_chunk(parameters, CHUNK, |i, parameters| {
                let gradients = &gradients[i * CHUNK..][..parameters.len()];
                dispatch(isa, Plain { rule, parameters, gradients });
            });
            return Ok(());
        }
        let first = self.momentum_buffer.is_empty();
        if first {
            self.momentum_buffer = allocate(self.name(), parameters.len())?;
        }
        // b ← μ·0 + 1·g is b ← g.
        let rule = if first { Rule { undamped: 1.0, ..rule } } else { rule };
        parallel::for_each_chunk2(parameters, CHUNK, &mut self.momentum_buffer, CHUNK, |i, parameters, momentum| {
            let gradients = &gradients[i * CHUNK..][..parameters.len()];
            dispatch(isa, Momentum { rule, parameters, gradients, momentum });
        });
        Ok(())
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn set_learning_rate(&mut self, learning_rate: f64) {
        self.learning_rate = learning_rate;
    }

    fn state(&self) -> OptimizerState {
        OptimizerState {
            numbers: vec![
                ("learning_rate", self.learning_rate),
                ("momentum", self.momentum),
                ("dampening", self.dampening),
                ("nesterov", f64::from(u8::from(self.nesterov))),
                ("weight_decay", self.weight_decay),
            ],
            buffers: vec![("momentum_buffer", self.momentum_buffer.clone())],
        }
    }

    fn set_state(&mut self, state: OptimizerState) -> Result<(), Error> {
        let mut new = Sgd::new(0.0);
        for (name, number) in state.numbers {
            match name {
                "learning_rate" => new.learning_rate = number,
                "momentum" => new.momentum = number,
                "dampening" => new.dampening = number,
                "nesterov" => new.nesterov = number != 0.0,
                "weight_decay" => new.weight_decay = number,
                _ => return Err(unknown(self.name(), name)),
            }
        }
        for (name, buffer) in state.buffers {
            match name {
                "momentum_buffer" => new.momentum_buffer = buffer,
                _ => return Err(unknown(self.name(), name)),
            }
        }
        new.check()?;
        *self = new;
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Rule {
    learning_rate: f32,
    momentum: f32,
    /// 1 - dampening
    undamped: f32,
    nesterov: bool,
    weight_decay: f32,
}

/// A step without momentum.
struct Plain<'a> {
    rule: Rule,
    parameters: &'a mut [f32],
    gradients: &'a [f32],
}

impl Kernel for Plain<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let rate = simd.splat(self.rule.learning_rate);
        let decay = simd.splat(self.rule.weight_decay);
        for (parameters, gradients) in self.parameters.chunks_mut(S::LANES).zip(self.gradients.chunks(S::LANES)) {
            let p = simd.load_partial(parameters);
            let g = simd.mul_add(decay, p, simd.load_partial(gradients));
            simd.store_partial(simd.neg_mul_add(rate, g, p), parameters);
        }
    }
}

/// A step with momentum.
struct Momentum<'a> {
    rule: Rule,
    parameters: &'a mut [f32],
    gradients: &'a [f32],
    momentum: &'a mut [f32],
}

impl Kernel for Momentum<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { rule, parameters, gradients, momentum } = self;
        let rate = simd.splat(rule.learning_rate);
        let decay = simd.splat(rule.weight_decay);
        let mu = simd.splat(rule.momentum);
        let undamped = simd.splat(rule.undamped);
        let chunks = parameters.chunks_mut(S::LANES).zip(gradients.chunks(S::LANES));
        for ((parameters, gradients), momentum) in chunks.zip(momentum.chunks_mut(S::LANES)) {
            let p = simd.load_partial(parameters);
            let g = simd.mul_add(decay, p, simd.load_partial(gradients));
            let b = simd.mul_add(undamped, g, simd.mul(mu, simd.load_partial(momentum)));
            simd.store_partial(b, momentum);
            let step = if rule.nesterov { simd.mul_add(mu, b, g) } else { b };
            simd.store_partial(simd.neg_mul_add(rate, step, p), parameters);
        }
    }
}
