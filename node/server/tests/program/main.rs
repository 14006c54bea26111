//! The program `arsenal` as its users meet it: what it prints, how it ends, what its exit codes say.

#![expect(clippy::unwrap_used, reason = "what fails here fails the run, which is its purpose")]

#[path = "../../../../tls/tests/support/authority.rs"]
mod authority;
mod call;
mod check;
mod gateway;
mod log;
mod node;
mod stop;
mod tls;
