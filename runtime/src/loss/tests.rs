//! The losses against PyTorch 2.15:
//!
//! ```python
//! def ramp(*shape):
//!     return (torch.arange(math.prod(shape)) * 0.37 % 3.1 - 1.3).reshape(shape)
//!
//! x = ramp(3, 4).requires_grad_(True)
//! loss = F.cross_entropy(x, torch.tensor([2, 0, 3])); loss.backward(); print(loss.item(), x.grad.flatten())
//! ```

use std::vec::Vec;

use ndarray::{Array, ArrayD, Ix2, Ix3, Ix4, IxDyn, array};

use super::*;
use crate::simd::{Isa, with_isa};

fn ramp(shape: &[usize]) -> ArrayD<f32> {
    let floats = shape.iter().product::<usize>();
    Array::from_shape_vec(shape, (0..floats).map(|i| (i as f32 * 0.37) % 3.1 - 1.3).collect()).unwrap()
}

/// Not `difference <= tolerance`: a NaN must fail.
fn close(found: f32, expected: f32) -> bool {
    found == expected || (found - expected).abs() <= 2e-6 * (1.0 + expected.abs())
}

/// On every instruction set.
#[track_caller]
fn expect<'t>(loss: Loss, output: &ArrayD<f32>, target: impl Into<Target<'t>>, value: f32, gradient: &[f32]) {
    let target = target.into();
    for isa in Isa::of_architecture() {
        if !Isa::detected().contains(isa) {
            std::println!("SKIPPED: this machine has no {isa}");
            continue;
        }
        let (found, found_gradient) = with_isa(*isa, || compute(loss, output.view(), target.clone())).unwrap();
        assert!(close(found, value), "{loss} on {isa}: {found} is not {value}");
        assert_eq!(found_gradient.shape(), output.shape());
        for (found, expected) in found_gradient.iter().zip(gradient) {
            assert!(close(*found, *expected), "{loss} on {isa}: {found_gradient} is not {gradient:?}");
        }
        assert_eq!(found_gradient.len(), gradient.len());
    }
}

const IGNORE: i64 = IGNORED_CLASS;

#[test]
fn cross_entropy_of_rows() {
    let gradient = [
        0.0439868197,
        0.0636812299,
        -0.241139814,
        0.133471757,
        -0.289346516,
        0.0636812299,
        0.092193529,
        0.133471772,
        0.257135212,
        0.0167701747,
        0.0242787655,
        -0.298184127,
    ];
    expect(Loss::CrossEntropy, &ramp(&[3, 4]), &[2u8, 0, 3], 1.8533488512, &gradient);
    let gradient = [
        0.0733621418,
        0.106208906,
        -0.179571033,
        0.0,
        0.0,
        0.0,
        -0.259971201,
        0.10620892,
        0.153762311,
        0.0733621195,
        -0.227124453,
        0.153762311,
    ];
    expect(Loss::CrossEntropy, &ramp(&[4, 3]), &[2, IGNORE, 0, 1], 1.143735051, &gradient);
}

#[test]
fn cross_entropy_of_sequences_and_maps() {
    let gradient = [
        -0.216617167,
        0.0333828256,
        0.0699682459,
        0.0699682459,
        0.146648929,
        -0.103351071,
        0.0758993849,
        0.193450704,
        -0.0909197778,
        -0.23173435,
        0.015020391,
        0.0382836461,
    ];
    expect(Loss::CrossEntropy, &ramp(&[2, 3, 2]), &array![[0u32, 2], [1, 1]], 1.403832436, &gradient);
    let target = array![[[0, 2], [1, 1]], [[2, IGNORE], [0, 1]]];
    let gradient = [
        -0.137071326,
        0.0228122342,
        0.0228122342,
        0.0228122342,
        0.025416784,
        0.100212909,
        -0.04264424,
        -0.04264424,
        0.11165455,
        -0.123025142,
        0.0198320057,
        0.0198320057,
        0.0228122342,
        0.0,
        -0.0737524554,
        0.0691046864,
        0.100212909,
        0.0,
        0.0136757242,
        -0.129181415,
        -0.123025142,
        0.0,
        0.0600767359,
        0.0600767322,
    ];
    expect(Loss::CrossEntropy, &ramp(&[2, 3, 2, 2]), &target, 1.562438965, &gradient);
}

#[test]
fn cross_entropy_of_extreme_scores() {
    let scores = array![[1000.0, 0.0, -1000.0], [-5e4, -5e4, -50001.0]].into_dyn();
    let gradient = [0.5, -0.5, 0.0, 0.211159408, 0.211159408, -0.422318786];
    expect(Loss::CrossEntropy, &scores, &[1, 2], 500.9309998, &gradient);
    let scores = array![[f32::NEG_INFINITY, 0.0, 1.0]].into_dyn();
    expect(Loss::CrossEntropy, &scores, &[1], 1.313261628, &[0.0, -0.731058598, 0.731058598]);
    // Where nothing counts PyTorch's mean is 0 / 0, and its gradient 0.
    let (loss, gradient) = cross_entropy(ramp(&[2, 3]).view(), &[IGNORE, IGNORE]).unwrap();
    assert!(loss.is_nan() && gradient.iter().all(|gradient| *gradient == 0.0));
    let (loss, _) = cross_entropy(array![[f32::NAN, 1.0]].view(), &[1]).unwrap();
    assert!(loss.is_nan());
}

#[test]
fn cross_entropy_of_more_positions_than_a_block() {
    // Each position of a map is a row of its own.
    let (classes, inner) = (3, 150);
    let map =
        Array::from_shape_fn((2, classes, inner), |(n, c, i)| ((n * 31 + c * 17 + i * 7) as f32 * 0.3).sin() * 4.0);
    let rows = map.view().permuted_axes([0, 2, 1]).as_standard_layout().into_owned();
    let rows = rows.into_shape_with_order((2 * inner, classes)).unwrap();
    let target: Vec<u16> = (0..2 * inner).map(|p| (p * p % classes) as u16).collect();
    let (expected, expected_gradient) = cross_entropy(rows.view(), &target).unwrap();
    let target = Array::from_shape_vec((2, inner), target).unwrap();
    let (loss, gradient) = cross_entropy(map.view(), &target).unwrap();
    assert!(close(loss, expected));
    for ((n, c, i), gradient) in gradient.indexed_iter() {
        assert!(close(*gradient, expected_gradient[[n * inner + i, c]]));
    }
}

#[test]
fn nll_of_sequences_and_maps() {
    let third = -1.0 / 3.0;
    let gradient = [third, 0.0, 0.0, 0.0, 0.0, third, 0.0, 0.0, 0.0, third, 0.0, 0.0];
    expect(Loss::Nll, &ramp(&[2, 3, 2]), &array![[0, 2], [IGNORE, 1]], 0.6066666245, &gradient);
    let target = array![[[0, 2], [1, 1]], [[2, IGNORE], [0, 1]]];
    let mut gradient = [0.0; 24];
    for at in [0, 6, 7, 9, 14, 19, 20] {
        gradient[at] = -1.0 / 7.0;
    }
    expect(Loss::Nll, &ramp(&[2, 3, 2, 2]), &target, -0.0071430886, &gradient);
}

#[test]
fn losses_of_values() {
    let x = array![[0.5f32, -1.0, 2.0], [0.0, 3.5, -0.25]].into_dyn();
    let t = array![[0.5f32, 0.0, 1.0], [1.5, -0.5, -1.25]];
    let gradient = [0.0, -0.333333343, 0.333333343, -0.5, 1.33333337, 0.333333343];
    expect(Loss::Mse, &x, &t, 3.541666746, &gradient);
    let sixth = 1.0 / 6.0;
    let gradient = [0.0, -sixth, sixth, -sixth, sixth, sixth];
    expect(Loss::L1, &x, &t, 1.416666627, &gradient);
    expect(Loss::SmoothL1, &x, &t, 1.0, &gradient);
}

#[test]
fn losses_of_probabilities() {
    let t = array![[0.25f32, 1.0, 0.0, 1.0], [1.0, 0.5, 0.0, 0.0]];
    let x = array![[0.5f32, 0.0, 1.0, 1.0], [0.9, 1e-30, 0.25, 0.0]].into_dyn();
    let gradient = [0.125, -124999999000.0, 124999999000.0, 0.0, -0.138888896, -62499999700.0, 0.166666672, 0.0];
    expect(Loss::Bce, &x, &t, 29.45312119, &gradient);
    let x = array![[0.0f32, -100.0, 100.0, 2.0], [-2.0, 1e-3, 30.0, -90.0]].into_dyn();
    let gradient = [0.03125, -0.125, 0.125, -0.0149003714, -0.110099636, 3.1247735e-05, 0.125, 0.0];
    expect(Loss::BceWithLogits, &x, &t, 29.20501709, &gradient);
}

#[test]
fn losses_of_more_values_than_a_block() {
    // PyTorch's formulas in double precision, over lengths on both sides of every boundary.
    type Term = fn(f64, f64) -> f64;
    let losses: [(Loss, Term); 5] = [
        (Loss::Mse, |x, t| (x - t) * (x - t)),
        (Loss::L1, |x, t| (x - t).abs()),
        (Loss::SmoothL1, |x, t| if (x - t).abs() < 1.0 { (x - t) * (x - t) / 2.0 } else { (x - t).abs() - 0.5 }),
        (Loss::Bce, |x, t| -(t * x.ln() + (1.0 - t) * (1.0 - x).ln())),
        (Loss::BceWithLogits, |x, t| (1.0 - t) * x + (-x.abs()).exp().ln_1p() + (-x).max(0.0)),
    ];
    for (loss, term) in losses {
        for length in [1, 4, 15, 16, 17, 255, 256, 257, 1000] {
            let target = Array::from_shape_fn((1, length), |(_, i)| (i as f32 * 0.31).sin() / 2.0 + 0.5);
            let output = Array::from_shape_fn((1, length), |(_, i)| match loss {
                Loss::Bce => (i as f32 * 0.77).cos() * 0.499 + 0.5,
                _ => (i as f32 * 0.77).cos() * 3.0,
            });
            let each = || output.iter().zip(&target).map(|(x, t)| (f64::from(*x), f64::from(*t)));
            let mean = each().map(|(x, t)| term(x, t)).sum::<f64>() / length as f64;
            let slope = |(x, t)| (term(x + 1e-6, t) - term(x - 1e-6, t)) / 2e-6 / length as f64;
            let gradient: Vec<_> = each().map(|pair| slope(pair) as f32).collect();
            expect(loss, &output.into_dyn(), &target, mean as f32, &gradient);
        }
    }
}

#[test]
fn nan_stays_nan() {
    let output = array![[0.5, f32::NAN, 0.25]].into_dyn();
    let target = array![[0.5f32, 1.0, 0.0]];
    for loss in [Loss::Mse, Loss::L1, Loss::SmoothL1, Loss::BceWithLogits] {
        let (value, gradient) = compute(loss, output.view(), &target).unwrap();
        assert!(value.is_nan() && gradient[[0, 1]].is_nan() && !gradient[[0, 0]].is_nan(), "{loss}");
    }
}

#[test]
fn strides_do_not_matter() {
    let output = ramp(&[3, 4]).into_dimensionality::<Ix2>().unwrap();
    let target = output.mapv(|x| x * x);
    let expected = mse(output.view(), &target).unwrap();
    let turned = output.t().as_standard_layout().into_owned();
    let turned_target = target.t().as_standard_layout().into_owned();
    assert_eq!(mse(turned.t(), turned_target.t()).unwrap(), expected);

    let output = ramp(&[2, 3, 2]).into_dimensionality::<Ix3>().unwrap();
    let target = array![[0u8, 2], [1, 0]];
    let expected = cross_entropy(output.view(), &target).unwrap();
    let turned = target.t().as_standard_layout().into_owned();
    assert_eq!(cross_entropy(output.view(), turned.t()).unwrap(), expected);
}

#[test]
fn what_does_not_fit_is_an_error() {
    let scores = ramp(&[2, 3]);
    let message = |result: Result<(f32, ArrayD<f32>), Error>| result.unwrap_err().to_string();
    assert_eq!(
        message(cross_entropy(scores.view(), &[1, 3])),
        "cross_entropy: the target at position 1 is class 3, but there are 3 classes, 0 to 2"
    );
    assert!(message(nll(scores.view(), &[-1, 0])).contains("class -1"));
    assert!(message(nll(scores.view(), &[u64::MAX, 0])).contains("class 18446744073709551615"));
    assert_eq!(
        message(cross_entropy(scores.view(), &[1, 2, 0])),
        "cross_entropy: for an output of shape [2, 3] the target must have the shape [2], but it has [3]"
    );
    assert_eq!(
        message(cross_entropy(scores.view(), &[1.0f32, 2.0])),
        "cross_entropy: the target must be class numbers, but values were given"
    );
    assert!(message(mse(scores.view(), &[1usize, 2])).contains("must be values"));
    assert!(message(mse(scores.view(), &Array::<f32, Ix2>::zeros((2, 1)))).contains("[2, 3]"));
    assert!(message(mse(ArrayD::zeros(IxDyn(&[0, 3])).view(), &Array::<f32, Ix2>::zeros((0, 3)))).contains("length 0"));
    assert!(message(cross_entropy(ArrayD::zeros(IxDyn(&[2])).view(), &[1, 0])).contains("[batch, classes]"));
    let map = Array::<f32, Ix4>::zeros((2, 3, 4, 4));
    assert!(cross_entropy(map.view(), &[1, 0]).is_err());

    let probabilities = array![[0.5f32, 1.5]].into_dyn();
    assert!(message(bce(probabilities.view(), &array![[0.5f32, 0.5]])).contains("the output at position 1 is 1.5"));
    assert!(message(bce(array![[f32::NAN]].into_dyn().view(), &array![[0.5f32]])).contains("is NaN"));
    assert!(message(bce(array![[0.5]].into_dyn().view(), &array![[-0.1f32]])).contains("the target at position 0"));
}

#[test]
fn names_are_those_of_a_spec() {
    for loss in Loss::ALL {
        assert_eq!(loss.to_string().parse(), Ok(loss));
    }
    assert!("crossentropy".parse::<Loss>().unwrap_err().to_string().contains("smooth_l1"));
}
