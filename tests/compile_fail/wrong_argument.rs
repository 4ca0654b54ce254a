#[castnet::network(path = "specs/lenet5.toml")]
pub struct Net;

fn main() {}
