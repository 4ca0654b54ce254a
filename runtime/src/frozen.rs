//! A trained network as an inference program.

use core::fmt;
use core::marker::PhantomData;

use alloc::boxed::Box;
#[cfg(feature = "std")]
use alloc::string::ToString;
use alloc::vec::Vec;

use crate::arena::{Arena, ArenaSize, Samples, Span};
use crate::buffer::Buffer;
use crate::error::{Error, Role};
use crate::kernels::Context;
use crate::nested::{Prediction, Sample};
use crate::network::{Network, Pretrained};
use crate::parallel::{self, Disjoint};
use crate::passes::{HeadPass, Pack, TailPass};
use crate::simd::Isa;
use crate::views::{MOST, Outputs, Views};
#[cfg(feature = "std")]
use crate::weights::Opened;
use crate::weights::{Stored, Tensors};
use crate::workspaces::Workspaces;

/// What the macro knows about a network's inference program.
///
/// The program is cut in two. Samples go through the first half one by one, each on a thread, while what it works on is in
/// the caches; a batch goes through the second together, so that its weights, most of the network's, are read once.
#[derive(Clone, Copy, Debug)]
pub struct FrozenInfo {
    /// Floats of all packed weights.
    pub packed: usize,
    /// Floats of activations of the first half.
    pub head: ArenaSize,
    /// Floats of activations of the second half.
    pub tail: ArenaSize,
    /// What the first half leaves to the second: where it lies in the arena of each. Inputs that the second half takes are not
    /// among them (`ValueInfo::frozen`).
    pub crossing: &'static [(Span, Span)],
    /// Samples that go through the second half together, at most.
    pub tail_batch: usize,
    /// Packs the weights; none where no layer has any.
    pub pack: Option<Pack>,
    /// Runs the first half; none where it is empty.
    pub head_pass: Option<HeadPass>,
    /// Runs the second half; none where it is empty.
    pub tail_pass: Option<TailPass>,
}

/// The inference program of a network: written by the macro.
pub trait Freeze: Network {
    /// Sizes, and the functions that pack and run it.
    const FROZEN: &'static FrozenInfo;
}

/// A trained network as an inference program: batch norms and activations folded into other layers, weights packed.
///
/// It keeps nothing of the network it was made from. Any number of threads may use it at once, each with a workspace of
/// its own; after the first call with a batch of some size nothing is allocated.
///
/// ```
/// # #[castnet::network(spec = "
/// #     [network]
/// #     input = [1, 8, 8]
/// #     [[layer]]
/// #     type = 'conv2d'
/// #     out_channels = 4
/// #     kernel_size = 3
/// #     [[layer]]
/// #     type = 'relu'
/// #     [[layer]]
/// #     type = 'flatten'
/// #     [[layer]]
/// #     type = 'linear'
/// #     out_features = 3
/// # ")]
/// # pub struct Net;
/// let model = Net::new(42).freeze();
/// let scores: [f32; 3] = model.predict(&[[[0.5; 8]; 8]]);
/// # assert!(scores.iter().all(|score| score.is_finite()));
/// ```
pub struct Frozen<N> {
    packed: Buffer,
    workspaces: Workspaces<Workspace>,
    network: PhantomData<fn() -> N>,
}

/// Room for one call.
#[derive(Default)]
struct Workspace {
    /// For the first half: one for each thread that samples are shared out to.
    heads: Vec<Head>,
    context: Context,
    tail: Arena,
}

#[derive(Default)]
struct Head {
    context: Context,
    arena: Arena,
    /// A sample of every input whose floats do not lie side by side.
    copies: Vec<Vec<f32>>,
}

impl<N: Freeze> Frozen<N> {
    /// Packs the weights of a network in memory.
    ///
    /// # Panics
    ///
    /// Where there is no memory for them.
    pub fn new(network: &N) -> Self {
        match Self::from_tensors(&mut Tensors::new(network.parameters(), network.buffers())) {
            Ok(frozen) => frozen,
            Err(error) => panic!("{error}"),
        }
    }

    /// Packs the weights in a safetensors file, one layer after the other: neither the file nor a network that could be trained is
    /// ever in memory as a whole, so that it takes the packed weights and those of the largest layer.
    ///
    /// ```
    /// # #[castnet::network(spec = "
    /// #     [network]
    /// #     input = [4]
    /// #     [[layer]]
    /// #     type = 'linear'
    /// #     out_features = 3
    /// # ")]
    /// # pub struct Net;
    /// # let path = std::env::temp_dir().join(format!("castnet-doc-{}.safetensors", std::process::id()));
    /// # let net = Net::new(42);
    /// # net.save(&path)?;
    /// let model = castnet::Frozen::<Net>::load(&path)?;
    /// # std::fs::remove_file(&path).ok();
    /// assert_eq!(model.predict(&[1.0; 4]), net.freeze().predict(&[1.0; 4]));
    /// # Ok::<(), castnet::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Network::load`], and [`Error::TooLarge`] where there is no memory for the packed weights.
    #[cfg(feature = "std")]
    pub fn load(path: impl AsRef<std::path::Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let file = Opened::new(path)?;
        Self::from_tensors(&mut Tensors::stored(Stored::open(N::INFO, Box::new(file), &path.display().to_string())?))
    }

    /// Packs the weights in the bytes of a safetensors file, one layer after the other, as [`load`](Self::load) does.
    ///
    /// # Errors
    ///
    /// As [`Network::load_bytes`], and [`Error::TooLarge`] where there is no memory for the packed weights.
    pub fn load_bytes(bytes: &[u8]) -> Result<Self, Error> {
        Self::from_tensors(&mut Tensors::stored(Stored::open(N::INFO, Box::new(bytes), "bytes")?))
    }

    /// Packs trained tensors, one layer after the other.
    pub(crate) fn from_tensors(tensors: &mut Tensors<'_>) -> Result<Self, Error> {
        let floats = N::FROZEN.packed;
        let mut packed = Buffer::try_zeroed(floats).map_err(|_| Error::TooLarge {
            network: N::INFO.name,
            what: "packed weights",
            batch: None,
            bytes: floats.checked_mul(4),
        })?;
        if let Some(pack) = N::FROZEN.pack {
            pack(tensors, &mut packed)?;
        }
        Ok(Self { packed, workspaces: Workspaces::default(), network: PhantomData })
    }

    /// Bytes of the packed weights.
    pub fn packed_bytes(&self) -> usize {
        size_of_val(&self.packed[..])
    }

    /// The outputs for one sample. After the first call nothing is allocated but a boxed prediction; any number of threads
    /// may call it at once. Where the sample is large, its layers use several threads.
    ///
    /// # Panics
    ///
    /// Where there is no memory for the activations of one sample. [`predict_into`](Self::predict_into) returns that as
    /// an error.
    pub fn predict(&self, sample: N::Sample<'_>) -> N::Prediction {
        let mut prediction = N::Prediction::zeroed();
        match self.predict_into(sample, &mut prediction) {
            Ok(()) => prediction,
            Err(error) => panic!("{error}"),
        }
    }

    /// The outputs for one sample, written over those of another.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] where there is no memory for the activations of one sample.
    pub fn predict_into(&self, sample: N::Sample<'_>, prediction: &mut N::Prediction) -> Result<(), Error> {
        const {
            assert!(
                N::INFO.minimum_evaluation_batch <= 1,
                "a batch norm with `track_running_stats = false` sees one value per channel and sample: such a \
                 network has no output for one sample alone, take `forward` with a batch"
            );
        }
        let (info, frozen) = (N::INFO, N::FROZEN);
        self.workspaces.with(|workspace| {
            let isa = Isa::active();
            workspace.tail.prepare(info.name, frozen.tail, 1)?;
            let head = workspace.head();
            head.context.begin(isa);
            head.arena.prepare(info.name, frozen.head, 1)?;
            let mut inputs = [&[][..]; MOST];
            sample.read(&mut inputs);
            let inputs = &inputs[..info.inputs.len()];
            if let Some(run) = frozen.head_pass {
                run(&mut head.context, &self.packed, inputs, &mut head.arena);
            }
            let Workspace { heads, context, tail } = workspace;
            // SAFETY: the tail is prepared for this one sample.
            unsafe { cross::<N>(inputs, &heads[0].arena, &tail.samples(), 0) };
            context.begin(isa);
            if let Some(run) = frozen.tail_pass {
                run(context, &self.packed, tail);
            }
            prediction.read(tail, info.outputs, |value| value.frozen);
            Ok(())
        })
    }

    /// The outputs for a batch.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] and [`Error::Batches`] for inputs that do not fit, [`Error::TooLarge`] for a batch that memory
    /// cannot hold, [`Error::BatchTooSmall`] where a batch norm keeps no running statistics.
    pub fn forward(&self, inputs: N::Inputs<'_>) -> Result<N::Outputs, Error> {
        let mut outputs = N::Outputs::none(N::INFO.outputs);
        self.forward_into(inputs, &mut outputs)?;
        Ok(outputs)
    }

    /// The outputs for a batch, written over those of another batch. Allocates nothing where the batch size is the same.
    ///
    /// # Errors
    ///
    /// As [`forward`](Self::forward).
    pub fn forward_into(&self, inputs: N::Inputs<'_>, outputs: &mut N::Outputs) -> Result<(), Error> {
        let (info, frozen) = (N::INFO, N::FROZEN);
        let batch = inputs.batch(info.name, Role::Input, info.inputs)?;
        if batch > 0 && batch < info.minimum_evaluation_batch {
            let minimum = info.minimum_evaluation_batch;
            return Err(Error::BatchTooSmall { network: info.name, training: false, minimum, found: batch });
        }
        outputs.prepare(info.name, batch, info.outputs)?;
        self.workspaces.with(|workspace| {
            let isa = Isa::active();
            let mut first = 0;
            while first < batch {
                let count = frozen.tail_batch.min(batch - first);
                workspace.tail.prepare(info.name, frozen.tail, count)?;
                self.run_head(workspace, isa, &inputs, first)?;
                let Workspace { context, tail, .. } = workspace;
                context.begin(isa);
                if let Some(run) = frozen.tail_pass {
                    run(context, &self.packed, tail);
                }
                outputs.write_samples(first, tail, info.outputs, |value| value.frozen);
                first += count;
            }
            Ok(())
        })
    }

    /// Runs the first half for all samples that the tail is prepared for, the first of which is number `first`.
    fn run_head(&self, workspace: &mut Workspace, isa: Isa, inputs: &N::Inputs<'_>, first: usize) -> Result<(), Error> {
        let (info, frozen) = (N::INFO, N::FROZEN);
        let count = workspace.tail.batch();
        let threads = parallel::threads();
        // Samples that are shared out, a whole number for each thread; in what is left, threads share the layers of each.
        let shared = if threads > 1 { count - count % threads } else { 0 };
        let needed = if shared > 0 { threads } else { 1 };
        if workspace.heads.len() < needed {
            workspace.heads.resize_with(needed, Head::default);
        }
        for head in &mut workspace.heads[..needed] {
            head.arena.prepare(info.name, frozen.head, 1)?;
            head.copies.resize_with(info.inputs.len(), Vec::new);
            inputs.reserve(info.name, info.inputs, &mut head.copies)?;
        }
        let Workspace { heads, tail, .. } = workspace;
        let samples = tail.samples();
        let heads = Disjoint::new(heads);
        let run = |worker: usize, sample: usize| {
            // SAFETY: no two tasks with the same worker run at once.
            let head = unsafe { &mut heads.slice(worker..worker + 1)[0] };
            let mut floats = [&[][..]; MOST];
            inputs.sample(first + sample, &mut head.copies, &mut floats);
            let floats = &floats[..info.inputs.len()];
            head.context.begin(isa);
            if let Some(run) = frozen.head_pass {
                run(&mut head.context, &self.packed, floats, &mut head.arena);
            }
            // SAFETY: every task writes a sample of its own.
            unsafe { cross::<N>(floats, &head.arena, &samples, sample) };
        };
        parallel::for_each_worker(shared, run);
        for sample in shared..count {
            run(0, sample);
        }
        Ok(())
    }

    /// Gives the memory of idle workspaces back. The next call allocates again.
    pub fn release_workspaces(&self) {
        self.workspaces.clear();
    }
}

/// Copies what the second half takes: a sample's inputs, and what the first half made of them.
///
/// # Safety
///
/// Nobody else uses this sample of the second half's values meanwhile.
unsafe fn cross<N: Freeze>(inputs: &[&[f32]], head: &Arena, tail: &Samples<'_>, sample: usize) {
    let made = N::FROZEN.crossing.iter().map(|&(from, to)| (head.view(from), to));
    let given = inputs.iter().zip(N::INFO.inputs).map(|(&floats, value)| (floats, value.frozen));
    for (from, to) in made.chain(given.filter(|(_, to)| !to.is_empty())) {
        // SAFETY: the caller's promise.
        unsafe { tail.get(to, sample) }.copy_from_slice(from);
    }
}

/// The inference program with the weights that are built in.
pub fn pretrained_frozen<N: Freeze + Pretrained>() -> Frozen<N> {
    match Frozen::load_bytes(N::FILE) {
        Ok(frozen) => frozen,
        Err(error) => panic!("{error}"),
    }
}

impl Workspace {
    fn head(&mut self) -> &mut Head {
        if self.heads.is_empty() {
            self.heads.push(Head::default());
        }
        &mut self.heads[0]
    }
}

impl<N> Clone for Frozen<N> {
    /// A copy with packed weights of its own.
    fn clone(&self) -> Self {
        Self { packed: self.packed.clone(), workspaces: Workspaces::default(), network: PhantomData }
    }
}

impl<N: Freeze> From<&N> for Frozen<N> {
    fn from(network: &N) -> Self {
        Self::new(network)
    }
}

impl<N: Network> fmt::Debug for Frozen<N> {
    /// Sizes and not numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frozen")
            .field("network", &N::INFO.name)
            .field("packed", &self.packed.len())
            .finish_non_exhaustive()
    }
}
