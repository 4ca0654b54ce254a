//! Everything that one does with a network from maps to features.

use super::Maps as Net;
use castnet::ndarray::{Array2, Array4, ArrayView4, Axis, s};
use castnet::{Adam, Frozen, Loss, Network, Sgd, Tape, Trainer};
use std::path::Path;

const _: () = assert!(Net::PARAMETER_COUNT > 0 && Net::MACS > 0 && !Net::INFO.outputs.is_empty());

struct Holder {
    net: Net,
    tape: Tape<Net>,
    trainer: Trainer<Net, Adam>,
    image: [[[f32; Net::INPUT_SHAPE[2]]; Net::INPUT_SHAPE[1]]; Net::INPUT_SHAPE[0]],
}

impl Holder {
    fn step(&mut self, images: ArrayView4<'_, f32>, labels: &[usize]) -> castnet::Result<f32> {
        self.net.forward_train(&mut self.tape, images)?;
        let (loss, upstream) = castnet::loss::cross_entropy(self.tape.outputs(), labels)?;
        self.net.backward(&mut self.tape, upstream.view())?;
        let mut order: Vec<(usize, f32)> = self.net.predict(&self.image).iter().copied().enumerate().collect();
        order.sort_by(|a, b| b.1.total_cmp(&a.1));
        Ok(loss + self.trainer.step(images, labels)? + order[0].1)
    }
}

fn scores(net: &Net, images: ArrayView4<'_, f32>) -> castnet::Result<Array2<f32>> {
    net.forward(images)
}

fn generic<N: Network>(net: &N, inputs: N::Inputs<'_>) -> castnet::Result<N::Outputs> {
    net.forward(inputs)
}

pub fn all(folder: &Path) -> castnet::Result<()> {
    let mut net = Net::new(42);
    let images = Array4::<f32>::zeros((32, 1, 28, 28));
    let labels = [7; 32];

    let mut outputs = net.forward(images.view())?;
    net.forward_into(images.slice(s![..8, .., .., ..]), &mut outputs)?;
    for (row, label) in outputs.outer_iter().zip(&labels) {
        println!("{row} {} {label}", row[3]);
    }
    let best = outputs.map_axis(Axis(1), |row| row.iter().copied().fold(0.0, f32::max));
    println!("{best} {:?} {}", outputs.dim(), outputs[[0, 1]]);
    let typed: Array2<f32> = scores(&net, images.view())?;
    println!("{} {:?}", typed.sum(), generic(&net, images.view())?.shape());

    let image = [[[0.0; 28]; 28]; 1];
    let mut prediction: [f32; 10] = net.predict(&image);
    net.predict_into(&image, &mut prediction)?;
    let untyped = net.predict(&castnet::zeroed());
    println!("{untyped:?} {}", untyped[0] + prediction[9]);
    let [zero, one, ..] = net.predict(&image);
    println!("{}", zero + one);
    let best = untyped.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(class, _)| class);
    println!("{best:?}");

    let frozen: Frozen<Net> = net.freeze();
    frozen.forward_into(images.view(), &mut outputs)?;
    println!("{} {frozen:?}", frozen.forward(images.view())?[[0, 1]] + outputs[[3, 9]]);
    frozen.predict_into(&image, &mut prediction)?;
    let [zero, one, ..] = frozen.predict(&image);
    println!("{} {}", zero + one, frozen.predict(&image).iter().sum::<f32>());

    let mut tape = Tape::<Net>::new();
    net.forward_train(&mut tape, images.view())?;
    println!("{}", tape.outputs().sum());
    let (loss, upstream) = castnet::loss::cross_entropy(tape.outputs(), &labels)?;
    net.backward(&mut tape, upstream.view())?;
    println!("{loss} {} {:?}", tape.gradients().len(), tape.input_gradients().index_axis(Axis(0), 0));
    net.forward_train(&mut tape, images.view())?;
    net.backward_from_loss(&mut tape, Loss::CrossEntropy, &labels)?;

    let mut trainer = Trainer::new(net.clone(), Sgd::new(0.05).momentum(0.9));
    println!("{}", trainer.step(images.view(), &labels)?);
    trainer.accumulate(images.view(), &labels)?;
    trainer.apply()?;
    println!("{}", trainer.network().forward(images.view())?.len());
    trainer.save(folder.join("training.safetensors"))?;
    trainer.load(folder.join("training.safetensors"))?;
    net = trainer.into_network();

    net.parameters_mut()[0] = net.parameters().len() as f32 + net.buffers().len() as f32;
    net.buffers_mut().fill(0.0);
    net.save(folder.join("net.safetensors"))?;
    net.load(folder.join("net.safetensors"))?;
    let bytes = net.to_bytes();
    net.load_bytes(&bytes)?;

    let [channels, height, width] = Net::INPUT_SHAPE;
    println!("{} {} {:?}", channels * height * width, Net::OUTPUT_SHAPE[0], Net::INFO);
    println!("{} {}", Net::INFERENCE_BYTES_PER_SAMPLE, Net::TRAINING_BYTES_PER_SAMPLE);
    let boxed: Box<[f32; Net::OUTPUT_SHAPE[0]]> = castnet::zeroed();
    println!("{boxed:?} {net:?}");

    let trainer = Trainer::new(net.clone(), Adam::new(0.001));
    let mut holder = Holder { net, tape: Tape::new(), trainer, image };
    println!("{}", holder.step(images.view(), &labels)?);
    Ok(())
}
