#[castnet::network("./avg_pool1d_divisor.toml")]
pub struct Net;

fn main() {
    let net = Net::new(0);
    println!("{}", net.parameters().len());
}
