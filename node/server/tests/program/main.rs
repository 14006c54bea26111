//! The program `arsenal` as its users meet it: what it prints, how it ends, what its exit codes say.

#![expect(clippy::unwrap_used, reason = "what fails here fails the run, which is its purpose")]

mod call;
mod check;
mod encrypted;
mod node;
mod stop;
