//! Upsampling of blocked values.

use super::on_blocked::OnBlocked;
use crate::blocked::BLOCK;
use crate::blocked::bands::Bands;
use crate::kernels::Context;
use crate::kernels::upsample::{Table, Upsample, is_nearest, tables_len, write_tables};
use crate::parallel::Disjoint;
use crate::simd::{Kernel, Simd, dispatch};

/// Every output is the nearest input pixel, or a weighted sum of two by two, as `torch.nn.Upsample`.
///
/// # Panics
/// When the sizes do not agree, or a slice is no whole number of samples.
pub fn run(context: &mut Context, op: &OnBlocked<Upsample>, input: &[f32], output: &mut [f32]) {
    let batch = op.check([op.layer.input, op.layer.output], input.len(), output.len());
    let (from, to) = (&op.input, &op.output);
    let isa = context.isa;
    let nearest = is_nearest(&op.layer);
    let tables = write_tables(&op.layer, context.scratch(tables_len(&op.layer)));
    let output = Disjoint::new(output);
    Bands::new(batch, to.blocks(), to.height, 2 * to.width * BLOCK).for_each(|sample, block, rows| {
        let band = UpsampledRows {
            tables,
            nearest,
            input: input[sample * from.sample_len() + from.offset(block, 0, 0)..].as_ptr(),
            input_row: from.row_len(),
            // SAFETY: within the sample.
            output: unsafe { output.as_ptr().add(sample * to.sample_len() + to.offset(block, 0, 0)) },
            output_row: to.row_len(),
            rows,
            width: to.width,
        };
        dispatch(isa, band);
    });
}

/// Rows of one block. Only [`run`] makes one, with pointers to pixel (0, 0) of blocks of these sizes, and no two with the same outputs.
struct UpsampledRows<'a> {
    tables: [Table<'a>; 2],
    nearest: bool,
    input: *const f32,
    input_row: usize,
    output: *mut f32,
    output_row: usize,
    rows: [usize; 2],
    width: usize,
}

impl Kernel for UpsampledRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let [rows, columns] = self.tables;
        for y in self.rows[0]..self.rows[1] {
            let row = rows.at(y);
            // SAFETY: sources are rows of the input.
            let (above, below) =
                unsafe { (self.input.add(row.first * self.input_row), self.input.add(row.second * self.input_row)) };
            let [above_share, below_share] = [1.0 - row.weight, row.weight].map(|share| simd.splat(share));
            for x in 0..self.width {
                let column = columns.at(x);
                // SAFETY: sources are pixels of the input, and (y, x) one of the output.
                unsafe {
                    let to = self.output.add(y * self.output_row + x * BLOCK);
                    let (left, right) = (column.first * BLOCK, column.second * BLOCK);
                    let [left_share, right_share] = [1.0 - column.weight, column.weight].map(|share| simd.splat(share));
                    for lane in (0..BLOCK).step_by(S::LANES) {
                        if self.nearest {
                            simd.store_ptr(simd.load_ptr(above.add(left + lane)), to.add(lane));
                            continue;
                        }
                        let blend = |row: *const f32| {
                            let [left, right] = [left, right].map(|at| simd.load_ptr(row.add(at + lane)));
                            simd.mul_add(right, right_share, simd.mul(left, left_share))
                        };
                        let y = simd.mul_add(blend(below), below_share, simd.mul(blend(above), above_share));
                        simd.store_ptr(y, to.add(lane));
                    }
                }
            }
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::blocked::testing::check_layer;
    use crate::kernels::testing::Tolerance;
    use crate::kernels::upsample::UpsampleMode;
    use crate::reference::upsample::forward;

    #[test]
    fn modes_and_scales() {
        for mode in [UpsampleMode::Nearest, UpsampleMode::Bilinear, UpsampleMode::BilinearAlignCorners] {
            for scale in [[2.0, 2.0], [1.0, 3.0], [1.5, 2.75], [0.5, 0.7], [4.0, 1.0]] {
                for input in [[3, 5, 7], [16, 1, 1], [33, 6, 2], [40, 13, 50]] {
                    let output =
                        [input[0], (input[1] as f64 * scale[0]) as usize, (input[2] as f64 * scale[1]) as usize];
                    if output[1] * output[2] == 0 {
                        continue;
                    }
                    let layer = Upsample { input, output, scale, mode };
                    check_layer(layer, [input, output], Tolerance::absolute(1e-6), run, forward);
                }
            }
        }
    }
}
