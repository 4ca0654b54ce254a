#[castnet::network("./unknown_key.toml")]
pub struct Net {
    pub width: usize,
}

fn main() {}
