#[castnet::network("./in_features.toml", weights = "./nowhere.safetensors")]
pub struct Net;

fn main() {
    let net = Net::pretrained();
    let scores: [f32; 3] = net.predict(&[[[0.0; 8]; 8]]);
    println!("{scores:?}");
}
