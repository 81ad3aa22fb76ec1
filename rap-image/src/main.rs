//! rap-image
fn main() {}
