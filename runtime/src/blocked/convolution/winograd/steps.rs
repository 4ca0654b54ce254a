//! The steps of a run, for a block of tiles.

use super::blocking::Blocking;
use super::tiles::{InputTransform, OutputTransform, Tiles, units};
use super::transform::Variant;
use crate::blocked::BLOCK;
use crate::blocked::BlockedConv2d;
use crate::blocked::convolution::tile::{self, Strip, Taps, segments};
use crate::blocked::epilogue::Epilogue;
use crate::parallel::Disjoint;
use crate::simd::{Isa, dispatch};
use core::marker::PhantomData;

/// A run of the algorithm.
pub(super) struct Steps<'a> {
    pub isa: Isa,
    pub op: &'a BlockedConv2d,
    pub tiles: Tiles,
    pub blocking: Blocking,
    pub input: &'a [f32],
    pub packed: &'a [f32],
    pub residual: Option<&'a [f32]>,
    pub output: Disjoint<'a, f32>,
    pub epilogue: Epilogue,
}

impl Steps<'_> {
    /// The tiles of a block.
    fn range(&self, block: usize) -> [usize; 2] {
        let start = block * self.blocking.tiles;
        [start, (start + self.blocking.tiles).min(self.tiles.count())]
    }

    /// Units of work of a block's input transform.
    pub fn input_units(&self, block: usize) -> usize {
        units(self.range(block), self.op.input.blocks())
    }

    /// Transforms some units of a block of tiles into `[plane][input block][tile][16]`.
    ///
    /// # Safety
    /// `transformed` points to [`Blocking::transformed_len`] floats, of which nobody else uses these units' meanwhile.
    pub unsafe fn transform<const M: usize, const N: usize, W: Variant<M, N>>(
        &self,
        block: usize,
        units: [usize; 2],
        transformed: *mut f32,
    ) {
        let kernel = InputTransform::<M, N, W> {
            op: self.op,
            tiles: self.tiles,
            input: self.input,
            range: self.range(block),
            units,
            transformed,
            plane: self.blocking.transformed_plane(),
            stride: self.blocking.tiles * BLOCK,
            variant: PhantomData,
        };
        dispatch(self.isa, kernel);
    }

    /// Computes the outputs of a block of tiles for one group of output channels.
    ///
    /// # Safety
    /// `transformed` points to the whole block, which nobody writes meanwhile; `products` points to [`Blocking::products_len`] floats; and
    /// nobody else uses those or these outputs.
    pub unsafe fn group<const M: usize, const N: usize, W: Variant<M, N>>(
        &self,
        block: usize,
        group: usize,
        transformed: *const f32,
        products: *mut f32,
    ) {
        let channels = self.blocking.channels(group);
        // SAFETY: the caller's promise.
        unsafe {
            for plane in 0..N * N {
                self.multiply(block, plane, channels, transformed, products);
            }
            let units = units(self.range(block), channels[1] - channels[0]);
            self.outputs::<M, N, W>(block, channels, [0, units], products);
        }
        self.finish(block, channels);
    }

    /// Transforms some units of a block's products into outputs.
    ///
    /// # Safety
    /// As [`Steps::group`].
    unsafe fn outputs<const M: usize, const N: usize, W: Variant<M, N>>(
        &self,
        block: usize,
        channels: [usize; 2],
        units: [usize; 2],
        products: *const f32,
    ) {
        let kernel = OutputTransform::<M, N, W> {
            op: self.op,
            tiles: self.tiles,
            range: self.range(block),
            units,
            first: channels[0],
            products,
            plane: self.blocking.products_plane(),
            stride: self.blocking.tiles * BLOCK,
            bias: self.packed,
            residual: self.residual,
            output: &self.output,
            epilogue: &self.epilogue,
            variant: PhantomData,
        };
        dispatch(self.isa, kernel);
    }

    /// Applies what activation remains.
    fn finish(&self, block: usize, channels: [usize; 2]) {
        self.tiles.finish(self.isa, self.op, &self.epilogue, self.range(block), channels, &self.output);
    }

    /// The matrix product of one plane: a block of tiles times a group of output channels.
    ///
    /// # Safety
    /// As [`Steps::group`].
    unsafe fn multiply(
        &self,
        block: usize,
        plane: usize,
        channels: [usize; 2],
        transformed: *const f32,
        products: *mut f32,
    ) {
        let blocking = &self.blocking;
        let [start, end] = self.range(block);
        let (inputs, blocks) = (self.op.input.channels, self.op.output.blocks());
        let weights = blocks * BLOCK + (plane * blocks + channels[0]) * inputs * BLOCK;
        let stride = blocking.tiles * BLOCK;
        // The next plane's; past the last one's lie those of the next layer.
        let next_weights = self.packed.as_ptr().wrapping_add(weights + blocks * inputs * BLOCK);
        for (tile, width, across) in segments(0, end - start, tile::pixel_limit(self.isa)) {
            let strip = Strip {
                taps: Taps {
                    depth: inputs,
                    first: 0,
                    lanes: BLOCK,
                    lane_stride: 1,
                    block_stride: stride,
                    kernel: [1, 1],
                    kernel_stride: [0, 0],
                },
                // SAFETY: a tile of the block.
                input: unsafe { transformed.add(plane * blocking.transformed_plane() + tile * BLOCK) },
                input_stride: [0, BLOCK],
                weights: self.packed[weights..].as_ptr(),
                weight_block: inputs * BLOCK,
                bias: core::ptr::null(),
                blocks: channels[1] - channels[0],
                // SAFETY: as above.
                output: unsafe { products.add(plane * blocking.products_plane() + tile * BLOCK) },
                output_stride: [0, BLOCK],
                output_block: stride,
                residual: core::ptr::null(),
                residual_stride: [0, BLOCK],
                residual_block: 0,
                clamp: None,
                tiles: [1, across],
                next_weights,
            };
            // SAFETY: the caller's promise.
            unsafe { tile::run(self.isa, &strip, 1, width) };
        }
    }
}
