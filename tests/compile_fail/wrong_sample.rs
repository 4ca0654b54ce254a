#[castnet::network(spec = r#"
    [network]
    input = [3]

    [[layer]]
    type = "linear"
    out_features = 2
"#)]
pub struct Net;

fn main() {
    let net = Net::new(0);
    let _: [f32; 2] = net.predict(&[0.0; 4]);
}
