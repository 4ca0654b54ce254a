#[castnet::network("./block_sees_nothing_outside.toml")]
pub struct Net;

fn main() {
    let net = Net::new(0);
    println!("{}", net.parameters().len());
}
