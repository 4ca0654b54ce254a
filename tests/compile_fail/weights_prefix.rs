#[castnet::network(
    spec = r#"
        [network]
        input = [72]

        [[layer]]
        name = "fc1"
        type = "linear"
        out_features = 3
    "#,
    weights = "./weights_prefix.safetensors",
)]
pub struct Net;

fn main() {
    let scores: [f32; 3] = Net::pretrained().predict(&[0.0; 72]);
    println!("{scores:?}");
}
