//! Upsampling of blocked values.

use super::on_blocked::OnBlocked;
use crate::blocked::BLOCK;
use crate::blocked::bands::Bands;
use crate::blocked::rows::{Rows, RowsMut};
use crate::kernels::Context;
use crate::kernels::upsample::{Table, Upsample, is_nearest, tables_len, write_tables};
use crate::simd::{Kernel, Simd, dispatch};

/// Every output is the nearest input pixel, or a weighted sum of two by two, as `torch.nn.Upsample`.
///
/// # Panics
/// When the sizes do not agree, or a slice is no whole number of samples.
pub fn run(context: &mut Context, op: &OnBlocked<Upsample>, input: &[f32], output: &mut [f32]) {
    let batch = op.check([op.layer.input, op.layer.output], input.len(), output.len());
    let to = &op.output;
    let isa = context.isa;
    let nearest = is_nearest(&op.layer);
    let tables = write_tables(&op.layer, context.scratch(tables_len(&op.layer)));
    Bands::new(batch, to.blocks(), to.height, 2 * to.width * BLOCK).write(
        to,
        output,
        |[sample, block, first], rows| {
            dispatch(
                isa,
                Upsampled { tables, nearest, from: Rows::of(&op.input, input, [sample, block, 0]), to: rows, first },
            );
        },
    );
}

/// Rows of one block, from `first` on.
struct Upsampled<'a, 'b> {
    /// What rows and columns take from.
    tables: [Table<'a>; 2],
    nearest: bool,
    /// All rows of the block.
    from: Rows<'a>,
    to: RowsMut<'b>,
    first: usize,
}

impl Kernel for Upsampled<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Upsampled { tables: [rows, columns], nearest, from, mut to, first } = self;
        for index in 0..to.count() {
            let row = rows.at(first + index);
            let (above, below) = (from.row(row.first), from.row(row.second));
            let [above_share, below_share] = [1.0 - row.weight, row.weight].map(|share| simd.splat(share));
            for (x, to) in to.row(index).chunks_exact_mut(BLOCK).enumerate() {
                let column = columns.at(x);
                let [left, right] = [column.first, column.second].map(|column| column * BLOCK..(column + 1) * BLOCK);
                if nearest {
                    simd.block_store(simd.block_load(&above[left]), to);
                    continue;
                }
                let [left_share, right_share] = [1.0 - column.weight, column.weight].map(|share| simd.splat(share));
                let sides = [&above[left.clone()], &above[right.clone()], &below[left], &below[right]];
                for lane in (0..BLOCK).step_by(S::LANES) {
                    let [above_left, above_right, below_left, below_right] =
                        sides.map(|pixel| simd.load(&pixel[lane..]));
                    let above = simd.mul_add(above_right, right_share, simd.mul(above_left, left_share));
                    let below = simd.mul_add(below_right, right_share, simd.mul(below_left, left_share));
                    let y = simd.mul_add(below, below_share, simd.mul(above, above_share));
                    simd.store(y, &mut to[lane..]);
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
