//! Image to columns and back, as the literature defines them (Chellapilla, Puri and Simard, 2006; `torch.nn.Unfold` and `Fold`).

use crate::kernels::conv2d::Conv2d;

/// Walks over every element of the columns: `visit(column element, input element or None for a zero)`.
fn walk(op: &Conv2d, mut visit: impl FnMut(usize, Option<usize>)) {
    let [channels, height, width] = op.input;
    let [_, out_height, out_width] = op.output;
    let mut column = 0;
    for channel in 0..channels {
        for ky in 0..op.kernel[0] {
            for kx in 0..op.kernel[1] {
                for y in 0..out_height {
                    for x in 0..out_width {
                        let row = op.padding_mode.source(op.position(0, y, ky), height);
                        let col = op.padding_mode.source(op.position(1, x, kx), width);
                        visit(column, row.zip(col).map(|(row, col)| (channel * height + row) * width + col));
                        column += 1;
                    }
                }
            }
        }
    }
}

/// Floats of the columns of one sample.
pub fn columns_len(op: &Conv2d) -> usize {
    op.input[0] * op.kernel[0] * op.kernel[1] * op.output[1] * op.output[2]
}

/// Writes, for every element of the kernel, what it meets at every output: `input` `[ic, h, w]` becomes `columns`
/// `[ic * kh * kw, oh * ow]`, so that the convolution is the product `[oc, ic * kh * kw] x columns`. One sample.
///
/// # Panics
/// If a length is not the one above.
pub fn im2col(op: &Conv2d, input: &[f32], columns: &mut [f32]) {
    assert_eq!(input.len(), op.input_len(), "one sample");
    assert_eq!(columns.len(), columns_len(op), "the columns of one sample");
    walk(op, |column, source| columns[column] = source.map_or(0.0, |source| input[source]));
}

/// The adjoint of [`im2col`]: every input element becomes the sum of the column elements that were taken from it. One sample.
///
/// # Panics
/// If a length is not that of [`im2col`].
pub fn col2im(op: &Conv2d, columns: &[f32], input: &mut [f32]) {
    assert_eq!(input.len(), op.input_len(), "one sample");
    assert_eq!(columns.len(), columns_len(op), "the columns of one sample");
    let mut sums = vec![0.0f64; input.len()];
    walk(op, |column, source| {
        if let Some(source) = source {
            sums[source] += f64::from(columns[column]);
        }
    });
    for (x, sum) in input.iter_mut().zip(sums) {
        *x = sum as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::conv2d::PaddingMode;
    use crate::kernels::testing::data;

    // torch.nn.functional.unfold(torch.arange(9.).reshape(1, 1, 3, 3), 2, padding=1, stride=2)
    #[test]
    fn columns_are_pytorchs() {
        let op = Conv2d {
            input: [1, 3, 3],
            output: [1, 2, 2],
            kernel: [2, 2],
            stride: [2, 2],
            padding: [1, 1],
            dilation: [1, 1],
            groups: 1,
            padding_mode: PaddingMode::Zeros,
        };
        let image: Vec<f32> = (0..9).map(|i| i as f32).collect();
        let mut columns = vec![f32::NAN; columns_len(&op)];
        im2col(&op, &image, &mut columns);
        assert_eq!(columns, [0., 0., 0., 4., 0., 0., 3., 5., 0., 1., 0., 7., 0., 2., 6., 8.]);
    }

    /// `<im2col(x), y> == <x, col2im(y)>` for all x and y.
    #[test]
    fn col2im_is_the_adjoint() {
        for mode in [PaddingMode::Zeros, PaddingMode::Reflect, PaddingMode::Replicate, PaddingMode::Circular] {
            for (kernel, stride, padding, dilation, output) in [
                ([3, 3], [1, 1], [1, 1], [1, 1], [7, 9]),
                ([3, 2], [2, 3], [2, 1], [2, 1], [4, 4]),
                ([4, 2], [1, 1], [1, 0], [1, 1], [7, 9]),
                ([1, 1], [3, 2], [0, 0], [1, 1], [3, 5]),
            ] {
                let (input, output) = ([3, 7, 9], [1, output[0], output[1]]);
                let op = Conv2d { input, output, kernel, stride, padding, dilation, groups: 1, padding_mode: mode };
                let (x, y) = (data(1, op.input_len()), data(2, columns_len(&op)));
                let (mut columns, mut image) = (vec![f32::NAN; y.len()], vec![f32::NAN; x.len()]);
                im2col(&op, &x, &mut columns);
                col2im(&op, &y, &mut image);
                let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
                let (left, right) = (dot(&columns, &y), dot(&x, &image));
                assert!((left - right).abs() < 1e-4, "{op:?}: {left} and {right}");
            }
        }
    }
}
