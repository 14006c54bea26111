//! The contract as Rust: messages, clients and servers generated from `arsenal/v1/*.proto`, the descriptor set,
//! [`Rpcs`], to which a service lists its RPCs, and [`Value`], the payload type; and the same of what nodes say to each
//! other, [`internal`], without descriptors. Nothing else lives here: no conversion into domain types, no routing.
//!
//! Invariant: [`FILE_DESCRIPTOR_SET`] is passed on as bytes. Decoding it into `prost_types` and encoding it
//! again drops the method options (HTTP rules, operations); `prost_reflect` keeps them.

mod rpcs;
mod value;

pub use generated::arsenal::v1;
pub use generated::google;
pub use rpcs::Rpcs;
pub use value::{DEPTH_MAX, Value, ValueError};

/// Every file of the contract with its imports, comments and options: an encoded `google.protobuf.FileDescriptorSet`.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));

#[allow(
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated code keeps no style of ours"
)]
#[allow(
    unreachable_pub,
    reason = "the packages are generated whole; lib.rs exports those that are the contract"
)]
#[allow(rustdoc::all, reason = "the comments are written for protobuf, where `[x]` and `<x>` are plain text")]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/packages.rs"));
}

/// What nodes say to each other. It is no part of the contract: it changes with the version of its own that nodes
/// negotiate, and no client sees it.
pub mod internal {
    pub use super::generated_internal::arsenal::internal::v1;
}

#[allow(
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated code keeps no style of ours"
)]
#[allow(unreachable_pub, reason = "the packages are generated whole; lib.rs exports those that are used")]
#[allow(rustdoc::all, reason = "the comments are written for protobuf, where `[x]` and `<x>` are plain text")]
mod generated_internal {
    include!(concat!(env!("OUT_DIR"), "/internal.rs"));
}
