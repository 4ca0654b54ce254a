//! How many tiles and output channels are worked on at a time.

use crate::blocked::BLOCK;
use crate::blocked::BlockedConv2d;

/// The blocking of a run.
///
/// For one plane after another, the tiles of a block are multiplied by the weights of a group of output channels. So of each block a
/// plane of transformed inputs and one of products are in use at a time (100 KiB for 512 channels and 49 tiles), and the weights pass
/// through the cache once a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blocking {
    planes: usize,
    input_blocks: usize,
    output_blocks: usize,
    /// Tiles of a block.
    pub tiles: usize,
    /// Output blocks of a group, an even number unless all are one group.
    group: usize,
    pub schedule: Schedule,
}

/// How blocks of tiles are given to threads, and in which order their steps are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Schedule {
    /// The threads divide the output channels, and blocks only among many.
    Channels,
    /// Each thread takes blocks of its own.
    Blocks,
}

/// Floats of a typical second cache, 1 MiB.
const CACHE: usize = 256 * 1024;

/// The fewest tiles worth a block of their own: a register tile of AVX-512.
const FEW: usize = 14;

/// Tiles of a block where the weights stay in the second cache, beside 64 channels of transformed inputs and products (0.5 MiB).
const LIGHT: usize = 28;

/// Tiles of a block where the weights come from farther away: each is used 56 times, 112 operations to a float.
const HEAVY: usize = 56;

impl Blocking {
    pub fn new(op: &BlockedConv2d, planes: usize, tiles: usize, threads: usize) -> Self {
        let (input_blocks, output_blocks) = (op.input.blocks(), op.output.blocks());
        let heavy = planes * input_blocks * output_blocks * BLOCK * BLOCK > CACHE;
        // At most four caches of transformed inputs: they are written and read once each.
        let most = (4 * CACHE / (planes * input_blocks * BLOCK)).clamp(FEW, if heavy { HEAVY } else { LIGHT });
        let mut blocks = tiles.div_ceil(most);
        let shared = threads > 1 && (heavy || tiles < threads * FEW);
        if threads > 1 && !shared {
            // As many for each thread, and none smaller than it pays.
            blocks = blocks.next_multiple_of(threads).min(tiles / FEW);
        }
        // Blocks of about the same size.
        let tiles = tiles.div_ceil(blocks.max(1));
        // At most one cache of products.
        let mut group = (CACHE / (planes * tiles * BLOCK)).max(2) / 2 * 2;
        if shared {
            group = group.min(output_blocks.div_ceil(threads).next_multiple_of(2));
        }
        let group = group.min(output_blocks);
        let schedule = if shared { Schedule::Channels } else { Schedule::Blocks };
        Blocking { planes, input_blocks, output_blocks, tiles, group, schedule }
    }

    /// Floats from a plane of transformed inputs to the next: one block more than needed, since planes at a distance of a power of two
    /// would fall into the same sets of the cache.
    pub fn transformed_plane(&self) -> usize {
        (self.input_blocks * self.tiles + 1) * BLOCK
    }

    /// Floats of the transformed inputs of a block of tiles.
    pub fn transformed_len(&self) -> usize {
        self.planes * self.transformed_plane()
    }

    /// Floats from a plane of products to the next.
    pub fn products_plane(&self) -> usize {
        (self.group * self.tiles + 1) * BLOCK
    }

    /// Floats of the products of a block of tiles with a group of output channels.
    pub fn products_len(&self) -> usize {
        self.planes * self.products_plane()
    }

    /// Groups of output channels.
    pub fn groups(&self) -> usize {
        self.output_blocks.div_ceil(self.group)
    }

    /// The first output block of a group, and the first past it.
    pub fn channels(&self, group: usize) -> [usize; 2] {
        [group * self.group, ((group + 1) * self.group).min(self.output_blocks)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocked::Blocked;

    #[test]
    fn groups_cover_the_channels() {
        for (inputs, outputs) in [(1, 1), (16, 16), (64, 64), (64, 48), (512, 512), (2000, 40), (40, 2000)] {
            for tiles in [1, 2, 13, 14, 15, 49, 196, 3136] {
                for threads in [1, 2, 3, 8] {
                    let op = BlockedConv2d {
                        input: Blocked::new(inputs, 8, 8),
                        output: Blocked::new(outputs, 8, 8),
                        kernel: [3, 3],
                        stride: [1, 1],
                        padding: [1, 1],
                        dilation: [1, 1],
                        groups: 1,
                        residual: None,
                        activation: None,
                    };
                    let blocking = Blocking::new(&op, 36, tiles, threads);
                    assert!(blocking.tiles > 0 && blocking.tiles <= tiles.min(HEAVY), "{blocking:?}");
                    let mut next = 0;
                    for group in 0..blocking.groups() {
                        let [start, end] = blocking.channels(group);
                        assert!(start == next && end > start, "{blocking:?}");
                        assert!((end - start) * blocking.tiles * BLOCK <= blocking.products_plane());
                        next = end;
                    }
                    assert_eq!(next, op.output.blocks());
                    assert!(blocking.transformed_len() <= 5 * CACHE || blocking.tiles <= FEW);
                }
            }
        }
    }
}
