//! Gradients by finite differences, for the tests of the backward passes.

/// Pseudo-random numbers in `-1..1`, the same for the same seed (SplitMix64).
pub fn values(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (0..len).map(|_| (next() >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
}

/// Pseudo-random numbers of which any two differ by a quarter at least, so that no small step changes a maximum.
pub fn distinct_values(seed: u64, len: usize) -> Vec<f32> {
    let keys = values(seed, len);
    let mut order: Vec<usize> = (0..len).collect();
    order.sort_by(|&a, &b| keys[a].total_cmp(&keys[b]));
    let mut result = vec![0.0; len];
    for (rank, i) in order.into_iter().enumerate() {
        result[i] = (rank as f32 - len as f32 / 2.0) / 4.0;
    }
    result
}

/// Asserts that `gradient` is the gradient of the sum of `upstream * f(x)` for `x` at `at`.
///
/// The differences are central and of fourth order: with steps of 1/32, what the derivatives leave is of the order of
/// 1/32^4 = 1e-6, and single-precision rounding of the outputs, 6e-8, grows by 8 / 12 * 32 * 2 to 3e-6 for each.
#[track_caller]
pub fn assert_gradient(f: impl Fn(&[f32]) -> Vec<f32>, at: &[f32], upstream: &[f32], gradient: &[f32]) {
    const STEP: f32 = 1.0 / 32.0;
    assert_eq!(at.len(), gradient.len(), "one gradient for every input");
    let mut x = at.to_vec();
    for i in 0..at.len() {
        let mut difference = |steps: f32| {
            let mut side = |x_i: f32| {
                x[i] = x_i;
                let y = f(&x);
                assert_eq!(y.len(), upstream.len(), "one upstream gradient for every output");
                let products = y.iter().zip(upstream).map(|(&y, &u)| f64::from(y) * f64::from(u));
                (products.sum::<f64>(), f64::from(x_i))
            };
            let ((above, right), (below, left)) = (side(at[i] + steps * STEP), side(at[i] - steps * STEP));
            (above - below) / (right - left)
        };
        let expected = (4.0 * difference(1.0) - difference(2.0)) / 3.0;
        x[i] = at[i];
        let error = (f64::from(gradient[i]) - expected).abs();
        let close = error <= 3e-4 * (1.0 + expected.abs());
        assert!(close, "gradient {i} is {}, by differences {expected}", gradient[i]);
    }
}
