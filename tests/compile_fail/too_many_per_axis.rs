#[castnet::network("./too_many_per_axis.toml")]
pub struct Net;

fn main() {
    let net = Net::new(0);
    println!("{}", net.parameters().len());
}
