//! Measures the inference kernels: percent of the FMA peak, counting direct convolution's operations whatever the algorithm.
//!
//! `cargo run --release -p castnet --example kernel_bench [-- FILTER [SECONDS [COPIES]]]`. Peak and layers take turns, and the median of
//! the ratios is printed, since the clock of a shared machine drifts. `CASTNET_ISA` and `CASTNET_NUM_THREADS` apply.

use castnet::blocked::{
    Blocked, BlockedConv2d, PackedLinear, PlanarInputConv2d, Weights, depthwise, direct, linear, planar_input, winograd,
};
use castnet::buffer::Buffer;
use castnet::kernels::Context;
use castnet::kernels::activation::Activation;
use castnet::parallel;
use castnet::simd::{Isa, Kernel, Simd, dispatch};
use clap::Parser;
use std::hint::black_box;

/// Measures the inference kernels in percent of the machine's peak.
#[derive(Parser)]
struct Options {
    /// Only the layers in whose name this stands
    #[arg(default_value = "")]
    filter: String,
    /// Seconds of each turn
    #[arg(default_value_t = 0.005)]
    seconds: f64,
    /// Copies of a convolution's weights, of which every run takes the next: enough of them come from as far away as in a network
    #[arg(default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    copies: u32,
}

/// Seconds that this thread has run: what other programs take of the machine does not count.
#[cfg(all(unix, target_pointer_width = "64"))]
fn now() -> f64 {
    unsafe extern "C" {
        fn clock_gettime(clock: i32, time: *mut [i64; 2]) -> i32;
    }
    let clock = if cfg!(target_os = "linux") { 3 } else { 16 };
    let mut time = [0; 2];
    // SAFETY: a timespec is two 64-bit numbers, and 3 (16 on macOS) is CLOCK_THREAD_CPUTIME_ID.
    assert_eq!(unsafe { clock_gettime(clock, &mut time) }, 0);
    time[0] as f64 + time[1] as f64 * 1e-9
}

/// Multiply-adds that depend on nothing but themselves: 24 vectors, or 12 where there are 16 registers.
struct Peak(usize);

impl Kernel for Peak {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f64 {
        let (a, b) = (simd.splat(black_box(0.999)), simd.splat(black_box(0.001)));
        if S::REGISTERS == 32 { chains::<S, 24>(simd, a, b, self.0) } else { chains::<S, 12>(simd, a, b, self.0) }
    }
}

#[inline(always)]
fn chains<S: Simd, const N: usize>(simd: S, a: S::V, b: S::V, turns: usize) -> f64 {
    let mut sums = [simd.splat(1.0); N];
    let start = now();
    for _ in 0..turns {
        for sum in &mut sums {
            *sum = simd.mul_add(*sum, a, b);
        }
    }
    let seconds = now() - start;
    black_box(sums.iter().fold(0.0, |total, &sum| total + simd.reduce_sum(sum)));
    (turns * N * S::LANES) as f64 / seconds
}

struct Layer {
    name: String,
    macs: f64,
    run: Box<dyn FnMut(&mut Context)>,
    seconds: Vec<f64>,
    ratios: Vec<f64>,
}

/// Channels, size of the input map, kernel, stride.
fn conv(ic: usize, oc: usize, size: usize, k: usize, stride: usize, groups: usize) -> BlockedConv2d {
    let p = k / 2;
    let out = (size + 2 * p - k) / stride + 1;
    BlockedConv2d {
        input: Blocked::new(ic, size, size).with_halo([p; 4]),
        output: Blocked::new(oc, out, out).with_halo([p; 4]),
        kernel: [k, k],
        stride: [stride, stride],
        padding: [p, p],
        dilation: [1, 1],
        groups,
        residual: None,
        activation: Some(Activation::Relu),
    }
}

fn values(len: usize) -> Buffer {
    let mut buffer = Buffer::zeroed(len);
    let mut rng = fastrand::Rng::with_seed(1);
    buffer.fill_with(|| rng.f32() - 0.5);
    buffer
}

macro_rules! algorithm {
    ($($module:tt)*) => {
        ($($module)*::packed_len, $($module)*::pack, $($module)*::run)
    };
}

type Algorithm = (
    fn(&BlockedConv2d) -> usize,
    fn(&BlockedConv2d, &Weights, &mut [f32]),
    fn(&mut Context, &BlockedConv2d, &[f32], &[f32], Option<&[f32]>, &mut [f32]),
);

type FirstAlgorithm = (
    fn(&PlanarInputConv2d) -> usize,
    fn(&PlanarInputConv2d, &Weights, &mut [f32]),
    fn(&mut Context, &PlanarInputConv2d, &[f32], &[f32], &mut [f32]),
);

fn layer(options: &Options, name: &str, op: BlockedConv2d, batch: usize) -> Option<Layer> {
    let (h, k, s) = (op.input.height, op.kernel[0], op.stride[0]);
    let title = format!("{name} {k}x{k} s{s} {}->{} @{h} batch {batch}", op.input.channels, op.output.channels);
    if !title.contains(&options.filter) {
        return None;
    }
    let (packed_len, pack, run): Algorithm = match name {
        "f2" => algorithm!(winograd::f2),
        "f4" => algorithm!(winograd::f4),
        "f2_5x5" => algorithm!(winograd::f2_5x5),
        "depthwise" => algorithm!(depthwise),
        _ => algorithm!(direct),
    };
    let mut packed = Buffer::zeroed(packed_len(&op));
    let weight = values(op.weight_len());
    pack(&op, &Weights::new(&weight, None), &mut packed);
    let mut input = values(op.input.sample_len() * batch);
    op.input.zero_halo(&mut input);
    let mut output = Buffer::zeroed(op.output.sample_len() * batch);
    let copies = options.copies as usize;
    let packed: Vec<Buffer> = (0..copies).map(|_| packed.clone()).collect();
    let mut turn = 0;
    Some(Layer {
        name: title,
        macs: op.macs() as f64 * batch as f64,
        run: Box::new(move |context| {
            turn = (turn + 1) % copies;
            run(context, &op, &input, &packed[turn], None, &mut output);
        }),
        seconds: vec![],
        ratios: vec![],
    })
}

/// A first layer: its algorithm's name, channels, size of the input map, kernel, stride, padding.
fn first(options: &Options, name: &str, [ic, oc, size]: [usize; 3], [k, s, p]: [usize; 3]) -> Option<Layer> {
    let title = format!("{name} {k}x{k} s{s} {ic}->{oc} @{size} batch 1");
    if !title.contains(&options.filter) {
        return None;
    }
    let out = (size + 2 * p - k) / s + 1;
    let op = PlanarInputConv2d {
        input: [ic, size, size],
        output: Blocked::new(oc, out, out),
        kernel: [k, k],
        stride: [s, s],
        padding: [p, p],
        dilation: [1, 1],
        activation: Some(Activation::Relu),
        pool: None,
    };
    let (packed_len, pack, run): FirstAlgorithm = match name {
        "planar f2" => algorithm!(winograd::planar_input::f2_5x5),
        "planar f4" => algorithm!(winograd::planar_input::f4_7x7),
        _ => algorithm!(planar_input),
    };
    let mut packed = Buffer::zeroed(packed_len(&op));
    pack(&op, &Weights::new(&values(op.weight_len()), None), &mut packed);
    let input = values(op.input_len());
    let mut output = Buffer::zeroed(op.output.sample_len());
    Some(Layer {
        name: title,
        macs: op.macs() as f64,
        run: Box::new(move |context| run(context, &op, &input, &packed, &mut output)),
        seconds: vec![],
        ratios: vec![],
    })
}

/// A linear layer.
fn dense(options: &Options, [inputs, outputs]: [usize; 2], rows: usize) -> Option<Layer> {
    let title = format!("linear {inputs}->{outputs} batch {rows}");
    if !title.contains(&options.filter) {
        return None;
    }
    let op = PackedLinear { in_features: inputs, out_features: outputs, map: None, activation: Some(Activation::Relu) };
    let mut packed = Buffer::zeroed(linear::packed_len(&op));
    linear::pack(&op, &Weights::new(&values(op.weight_len()), None), &mut packed);
    let input = values(rows * inputs);
    let mut output = Buffer::zeroed(rows * outputs);
    Some(Layer {
        name: title,
        macs: (rows * op.weight_len()) as f64,
        run: Box::new(move |context| linear::run(context, &op, &input, &packed, &mut output)),
        seconds: vec![],
        ratios: vec![],
    })
}

fn main() {
    let options = Options::parse();
    let seconds = options.seconds;
    let mut layers = vec![];
    for algorithm in ["direct", "f2", "f4"] {
        for (ic, oc, size) in [
            (64, 64, 56),
            (128, 128, 28),
            (256, 256, 14),
            (512, 512, 7),
            (512, 512, 28),
            (64, 64, 224),
            (256, 256, 56),
            (128, 128, 7),
            (128, 128, 14),
        ] {
            layers.extend(layer(&options, algorithm, conv(ic, oc, size, 3, 1, 1), 1));
        }
        layers.extend(layer(&options, algorithm, conv(512, 512, 7, 3, 1, 1), 8));
        layers.extend(layer(&options, algorithm, conv(256, 256, 14, 3, 1, 1), 8));
    }
    layers.extend(layer(&options, "direct", conv(64, 128, 56, 3, 2, 1), 1));
    layers.extend(layer(&options, "direct", conv(16, 16, 56, 3, 1, 1), 1));
    layers.extend(layer(&options, "direct", conv(32, 48, 32, 3, 1, 1), 1));
    for name in ["direct", "f2_5x5"] {
        for (ic, oc, size) in [(8, 16, 28), (16, 32, 28), (20, 50, 12), (64, 96, 17), (64, 192, 27)] {
            layers.extend(layer(&options, name, conv(ic, oc, size, 5, 1, 1), 1));
        }
    }
    for (ic, oc, size) in
        [(24, 144, 56), (64, 256, 56), (256, 64, 56), (512, 128, 28), (1024, 256, 14), (2048, 512, 7), (512, 2048, 7)]
    {
        let mut op = conv(ic, oc, size, 1, 1, 1);
        layers.extend(layer(&options, "flat", op, 1));
        op.input.halo = [1; 4];
        op.output.halo = [1; 4];
        layers.extend(layer(&options, "rows", op, 1));
    }
    layers.extend(layer(&options, "rows", conv(64, 128, 56, 1, 2, 1), 1));
    for (ic, oc, size) in
        [(64, 32, 6), (64, 64, 12), (256, 32, 6), (256, 256, 12), (1024, 32, 6), (16, 64, 12), (32, 32, 12)]
    {
        layers.extend(layer(&options, "tiny", conv(ic, oc, size, 1, 1, 1), 1));
    }

    for (channels, size, k, s) in [
        (32, 112, 3, 1),
        (96, 112, 3, 2),
        (144, 56, 3, 1),
        (384, 14, 3, 1),
        (960, 7, 3, 1),
        (120, 28, 5, 1),
        (240, 28, 5, 2),
        (16, 14, 3, 1),
        (64, 7, 3, 1),
        (16, 28, 3, 2),
    ] {
        layers.extend(layer(&options, "depthwise", conv(channels, channels, size, k, s, channels), 1));
    }
    for name in ["planar", "planar f4"] {
        for (ic, oc, size) in [(1, 16, 28), (1, 64, 224), (3, 16, 64), (3, 64, 32), (3, 64, 224)] {
            layers.extend(first(&options, name, [ic, oc, size], [7, 2, 3]));
        }
    }
    layers.extend(first(&options, "planar", [3, 64, 224], [3, 1, 1]));
    layers.extend(first(&options, "planar", [3, 32, 224], [3, 2, 1]));
    layers.extend(first(&options, "planar", [1, 32, 28], [3, 1, 1]));
    layers.extend(first(&options, "planar", [1, 6, 32], [5, 1, 0]));
    for name in ["planar", "planar f2"] {
        for (ic, oc, size) in
            [(1, 16, 28), (2, 16, 28), (3, 16, 32), (3, 64, 32), (4, 16, 14), (6, 16, 14), (6, 64, 28)]
        {
            layers.extend(first(&options, name, [ic, oc, size], [5, 1, 0]));
        }
    }
    for rows in [1, 2, 8, 32] {
        for sizes in [[400, 120], [120, 84], [512, 1000], [1024, 1024], [4096, 1000], [4096, 4096], [25088, 4096]] {
            layers.extend(dense(&options, sizes, rows));
        }
    }
    layers.extend(layer(&options, "grouped", conv(128, 128, 28, 3, 1, 32), 1));

    let isa = Isa::active();
    let threads = parallel::threads() as f64;
    let mut context = Context::new();
    let mut peaks = vec![];
    for round in 0..21 {
        let mut peak = || {
            let peak = dispatch(isa, Peak(300_000)) * threads;
            peaks.push(peak);
            peak
        };
        for layer in &mut layers {
            (layer.run)(&mut context);
            let before = peak();
            let turns = (before * seconds / layer.macs).ceil() as usize;
            let start = now();
            for _ in 0..turns {
                (layer.run)(&mut context);
            }
            let seconds = (now() - start) / turns as f64;
            let peak = (before + peak()) / 2.0;
            if round > 0 {
                layer.ratios.push(layer.macs / seconds / peak);
                layer.seconds.push(seconds);
            }
        }
    }
    peaks.sort_by(f64::total_cmp);
    println!("{isa}, {threads} threads, peak {:.0} GFLOP/s", peaks[peaks.len() / 2] * 2e-9);
    for layer in &mut layers {
        layer.seconds.sort_by(f64::total_cmp);
        layer.ratios.sort_by(f64::total_cmp);
        let middle = layer.seconds.len() / 2;
        println!("{:6.1} % {:9.1} us  {}", layer.ratios[middle] * 100.0, layer.seconds[middle] * 1e6, layer.name);
    }
}
