//! The linear layer beside Burn's own.
fn main() {}
