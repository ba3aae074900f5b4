//! Tests of the whole program, in one binary.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed, in its helpers too")]

mod servers;
mod tidy;
mod transports;
