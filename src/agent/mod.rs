//! The daemon: [`machine`] decides, as a pure function of state and event; [`run`] does what it says.

pub mod machine;
mod run;
mod worker;

pub use run::{Error, run};
