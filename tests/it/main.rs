//! Tests of the whole program, in one binary.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed, in its helpers too")]

mod actions;
mod agent;
mod bad_input;
mod behaviours;
mod blame;
mod check_base;
mod checkout;
mod control;
mod crash;
mod daemon;
mod error_reference;
mod examples;
mod flow;
mod fsck;
mod generations;
mod hanging;
mod host;
mod hostile;
mod hostile_trees;
mod kept;
mod kill_sweep;
mod library;
mod nginx;
mod outcomes;
mod output;
mod over_ssh;
mod poison;
mod policy;
mod process_faults;
mod process_signals;
mod remote;
mod remote_checkout;
mod remote_host;
mod rollbacks;
mod roundtrip;
mod schema;
mod secret;
mod servers;
mod sops;
mod tidy;
mod transports;
mod values;
mod why;
mod why_not;
