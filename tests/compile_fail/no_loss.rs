#[castnet::network(spec = r#"
    [network]
    input = [3]

    [[layer]]
    type = "linear"
    out_features = 2
"#)]
pub struct Net;

fn main() {
    castnet::Trainer::new(Net::new(0), castnet::Sgd::new(0.1));
}
