#![deny(warnings)]

#[castnet::network("./uses_several_errors.toml")]
#[derive(Debug, Clone)]
pub struct Net;

#[path = "uses/lines.rs"]
mod lines;
#[path = "uses/maps.rs"]
mod maps;
use {Net as Lines, Net as Maps};

fn main() {
    lines::all().unwrap();
    maps::all(std::path::Path::new("")).unwrap();
}
