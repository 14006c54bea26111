//! The dependencies between our crates run one way, as `ARCHITECTURE.md` draws them.

use std::collections::BTreeMap;

/// Each crate's manifest and the crates of ours that it may depend on.
const ALLOWED: [(&str, &str, &[&str]); 14] = [
    ("proto", include_str!("../../proto/Cargo.toml"), &[]),
    ("runtime", include_str!("../../node/runtime/Cargo.toml"), &[]),
    ("behaviours", include_str!("../../node/behaviours/Cargo.toml"), &["runtime"]),
    ("observe", include_str!("../../node/observe/Cargo.toml"), &["runtime"]),
    (
        "services",
        include_str!("../../node/services/Cargo.toml"),
        &["proto", "runtime", "behaviours", "observe", "membership", "metrics"],
    ),
    ("raft", include_str!("../../cluster/raft/Cargo.toml"), &["runtime"]),
    ("names", include_str!("../../cluster/names/Cargo.toml"), &["runtime", "raft"]),
    ("tls", include_str!("../../tls/Cargo.toml"), &[]),
    ("metrics", include_str!("../../metrics/Cargo.toml"), &[]),
    ("link", include_str!("../../cluster/link/Cargo.toml"), &["proto", "runtime", "membership", "tls"]),
    ("membership", include_str!("../../cluster/membership/Cargo.toml"), &["proto", "runtime", "raft", "tls"]),
    ("gateway", include_str!("../../gateway/Cargo.toml"), &["proto", "tls", "metrics"]),
    (
        "server",
        include_str!("../../node/server/Cargo.toml"),
        &[
            "proto",
            "runtime",
            "behaviours",
            "raft",
            "names",
            "link",
            "membership",
            "services",
            "tls",
            "metrics",
            "gateway",
        ],
    ),
    (
        "tests",
        include_str!("../Cargo.toml"),
        &[
            "proto",
            "runtime",
            "behaviours",
            "observe",
            "raft",
            "membership",
            "link",
            "services",
            "tls",
            "gateway",
            "server",
        ],
    ),
];

fn dependencies(manifest: &str) -> Vec<&str> {
    let names = manifest.lines().filter_map(|line| line.strip_prefix("arsenal-"));
    names.filter_map(|line| line.split(['.', ' ', '=']).next()).collect()
}

#[test]
fn dependencies_run_one_way() {
    for (name, manifest, allowed) in ALLOWED {
        for dependency in dependencies(manifest) {
            assert!(allowed.contains(&dependency), "arsenal-{name} must not depend on arsenal-{dependency}");
        }
    }
}

#[test]
fn a_manifest_is_read_as_cargo_reads_it() {
    let of: BTreeMap<&str, Vec<&str>> =
        ALLOWED.iter().map(|(name, manifest, _)| (*name, dependencies(manifest))).collect();
    assert!(of["services"].contains(&"runtime"), "{of:?}");
    assert!(of["server"].contains(&"gateway"), "{of:?}");
}
