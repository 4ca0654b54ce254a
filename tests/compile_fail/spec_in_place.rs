#[castnet::network(spec = r#"
    [network]
    input = [3, 8, 8]

    [[layer]]
    type = "max_pool2d"
    kernel_size = 9
"#)]
pub struct Net;

fn main() {}
