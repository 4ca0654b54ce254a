#[castnet::network("./lp_pool_norm_type.toml")]
pub struct Net;

fn main() {
    let net = Net::new(0);
    println!("{}", net.parameters().len());
}
