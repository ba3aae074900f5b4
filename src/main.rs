//! The `headfast` program; its verbs come with the `cli` room.

fn main() {}
