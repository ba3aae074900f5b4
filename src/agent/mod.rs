//! The daemon: [`machine`] decides, as a pure function of state and event; [`run`] does what it says; [`control`] is how others
//! ask it for something.

pub mod machine;
pub mod control;
mod listener;
mod worker;
mod run;

pub use run::{Error, run};
pub use worker::CarryOut;
