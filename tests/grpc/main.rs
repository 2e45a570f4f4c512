//! The gRPC API's promises, through a real socket: the whole server with the test model, our client, and raw calls where
//! a client would misbehave.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test may fail where it stands"
)]
#[path = "../support/mod.rs"]
mod support;

mod house;

mod analyze;
mod failures;
mod introspection;
mod python_client;
mod studies;
