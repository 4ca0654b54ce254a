#[castnet::network("./nowhere.toml")]
pub struct Net;

fn main() {
    println!("{}", Net::new(0).parameters().len());
}
