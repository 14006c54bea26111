//! `--check`: what a start would say of a configuration, without one.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

struct File(PathBuf);

impl File {
    fn with(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("arsenal-check-{name}-{}.toml", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn check(what: &str, file: &Path) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_arsenal"));
    program.args([what, "--check", "--config"]).arg(file).output().unwrap()
}

#[test]
fn a_configuration_that_can_be_used_is_said_to_be_and_nothing_starts() {
    let file = File::with("fine", "[listen]\nprobes = \"0.0.0.0:7451\"\n[limits]\nprocesses_max = 10\n");
    for what in ["node", "gateway"] {
        let output = check(what, &file.0);
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{what}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(said.trim_end(), format!("{} can be used", file.0.display()), "{what}");
    }
}

#[test]
fn one_that_cannot_is_refused_by_the_name_of_what_is_wrong() {
    let cases = [
        ("node", "[listen]\nprobe = \"\"", "unknown field `probe`"),
        ("node", "[listen]\nprobes = \"here\"", "probes = \"here\""),
        ("node", "[limits]\nprocesses_max = 0", "limits.processes_max is 0"),
        ("node", "[listen]\ngrpc = \"0.0.0.0:7450\"", "listen.insecure"),
        ("gateway", "[gateway]\nupstream = \"nowhere at all\"", "`nowhere at all` is no upstream address"),
    ];
    for (what, text, part) in cases {
        let file = File::with("wrong", text);
        let output = check(what, &file.0);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{text}: {said}");
        assert!(said.contains(part), "{text}: {said}");
    }
}
