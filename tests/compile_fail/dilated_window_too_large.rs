#[castnet::network("./dilated_window_too_large.toml")]
pub struct Net;

fn main() {
    let net = Net::new(0);
    println!("{}", net.parameters().len());
}
