//! Everything a user does with a network, on networks written by hand as the macro would write them.

mod large;
mod mlp;
mod parts;

mod boundary;
mod files;
mod training;

use castnet::ndarray::{Array, Array2, Array3, Array4, Dimension, ShapeBuilder};

/// An array whose numbers are a function of their place.
fn ramp<D: Dimension>(shape: impl ShapeBuilder<Dim = D>, step: f32) -> Array<f32, D> {
    let mut place = 0.0;
    Array::from_shape_simple_fn(shape, || {
        place += step;
        place.sin()
    })
}

/// Inputs of `Mlp`.
fn inputs(batch: usize) -> Array2<f32> {
    ramp((batch, 12), 0.7)
}

/// A target of `Mlp`.
fn labels(batch: usize) -> Vec<usize> {
    (0..batch).map(|n| n * 3 % 5).collect()
}

/// Inputs of `Parts`.
fn parts(batch: usize) -> (Array2<f32>, Array3<f32>, Array4<f32>) {
    (ramp((batch, 3), 0.7), ramp((batch, 2, 5), 0.3), ramp((batch, 2, 1, 4), 1.1))
}
