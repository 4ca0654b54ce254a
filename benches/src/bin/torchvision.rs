//! The other half of `benches/torchvision/compare.py`: loads torchvision's state dicts and compares outputs.

use castnet::Network;
use castnet::ndarray::{Array2, Array4, ArrayView2, ArrayView4};
use clap::Parser;
use safetensors::SafeTensors;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

macro_rules! networks {
    ($($name:ident $path:literal)*) => {
        $(
            /// A network of `specs/`.
            #[castnet::network($path)]
            pub struct $name;
        )*
    };
}

networks! {
    AlexNet "../specs/alexnet.toml"
    Vgg16 "../specs/vgg16.toml"
    ResNet18 "../specs/resnet18.toml"
    ResNet34 "../specs/resnet34.toml"
    ResNet50 "../specs/resnet50.toml"
    MobileNetV2 "../specs/mobilenet_v2.toml"
    MobileNetV3Small "../specs/mobilenet_v3_small.toml"
    SqueezeNet11 "../specs/squeezenet1_1.toml"
    GoogLeNet "../specs/googlenet.toml"
    DenseNet121 "../specs/densenet121.toml"
}

/// Compares with torchvision's networks.
#[derive(Parser)]
struct Options {
    /// The folder with the state dicts, inputs and outputs that `benches/torchvision/compare.py` writes
    folder: PathBuf,
}

fn main() -> Result<(), Box<dyn Error>> {
    let Options { folder } = Options::parse();
    println!("{:20} {:>12} {:>14} {:>14}", "network", "parameters", "largest output", "difference");
    let agreements = [
        compare::<AlexNet>("alexnet", &folder)?,
        compare::<Vgg16>("vgg16", &folder)?,
        compare::<ResNet18>("resnet18", &folder)?,
        compare::<ResNet34>("resnet34", &folder)?,
        compare::<ResNet50>("resnet50", &folder)?,
        compare::<MobileNetV2>("mobilenet_v2", &folder)?,
        compare::<MobileNetV3Small>("mobilenet_v3_small", &folder)?,
        compare::<SqueezeNet11>("squeezenet1_1", &folder)?,
        compare::<GoogLeNet>("googlenet", &folder)?,
        compare::<DenseNet121>("densenet121", &folder)?,
    ];
    // Written so that NaN fails.
    if agreements.iter().all(|&difference| difference <= 1e-4) {
        return Ok(());
    }
    Err("a difference above 1e-4 of the largest output".into())
}

/// The largest difference between castnet's outputs and PyTorch's, over the largest output.
fn compare<N>(name: &str, folder: &Path) -> Result<f32, Box<dyn Error>>
where
    N: for<'a> Network<Inputs<'a> = ArrayView4<'a, f32>, Outputs = Array2<f32>>,
{
    let bytes = fs::read(folder.join(format!("{name}.io.safetensors")))?;
    let tensors = SafeTensors::deserialize(&bytes)?;
    let (image_shape, image) = floats(&tensors, "input")?;
    let (output_shape, expected) = floats(&tensors, "output")?;
    let image = Array4::from_shape_vec((image_shape[0], image_shape[1], image_shape[2], image_shape[3]), image)?;
    let expected = ArrayView2::from_shape((output_shape[0], output_shape[1]), &expected)?;
    let mut net = N::new(0);
    net.load(folder.join(format!("{name}.weights.safetensors")))?;
    let output = net.forward(image.view())?;
    let largest = expected.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    let worst =
        |most: f32, (a, b): (&f32, &f32)| if (a - b).abs() > most || (a - b).is_nan() { (a - b).abs() } else { most };
    let difference = output.iter().zip(&expected).fold(0.0f32, worst) / largest;
    println!("{name:20} {:>12} {largest:>14.6} {difference:>14.2e}", N::INFO.parameter_count);
    Ok(difference)
}

fn floats(tensors: &SafeTensors<'_>, name: &str) -> Result<(Vec<usize>, Vec<f32>), Box<dyn Error>> {
    let tensor = tensors.tensor(name)?;
    let floats = tensor.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    Ok((tensor.shape().to_vec(), floats))
}
