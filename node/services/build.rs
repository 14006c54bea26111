//! How this build came about, for `GetSystemInfo`: compiler, profile, commit.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let compiler = output(&compiler, &["--version"]);
    let profile =
        if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") { "release" } else { "debug" };
    // a clone without git, or a tarball, has no commit to tell
    let commit = output("git", &["rev-parse", "HEAD"]);
    // a debug build may name an older commit: it is not worth a rebuild at each
    if profile == "release"
        && let Some(head) = output("git", &["rev-parse", "--git-path", "logs/HEAD"])
    {
        println!("cargo::rerun-if-changed={head}");
    }
    println!("cargo::rustc-env=ARSENAL_COMPILER={}", compiler.unwrap_or_default());
    println!("cargo::rustc-env=ARSENAL_PROFILE={profile}");
    println!("cargo::rustc-env=ARSENAL_COMMIT={}", commit.unwrap_or_default());
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output =
        Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
