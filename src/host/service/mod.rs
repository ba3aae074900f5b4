//! The transaction as a process of its own: one thread that does what touches targets, and asks nobody but its own settings
//! whether it may.
//!
//! The agent decides and sends [`message::Question`]s over a socket, one at a time; the process answers each. The contents of
//! the files that come travel in a sealed memfd, so that nobody can change them after they were looked at. When the agent
//! goes away in the middle, the process ends too, and what it left is [recovered](super::transaction::recover) like after
//! any other crash.
//!
//! A [`Client`] can also hold the [`Server`] itself: a program that uses the library has no second program to start. Both
//! ways run the same code.

mod channel;
mod client;
mod message;
mod powers;
mod server;
#[cfg(test)]
mod tests;

pub use client::{Account, Client, CommitFailed, FileCopy, Recovered, Staged, Surprise, Switched, Way, Wreck};
pub use message::{Ask, Sight};
pub use powers::{Powers, Wish};
pub use server::{Server, from_standard_input, serve};
