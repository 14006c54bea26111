//! `arsenal call` to a node that is encrypted and knows its clients.

#[path = "../../../../tls/tests/support/authority.rs"]
mod authority;

use crate::node::Program;
use authority::Authority;
use std::path::Path;

/// How a call ended, and what it said.
fn call(program: &Program, options: &[(&str, &Path)]) -> (Option<i32>, String) {
    let mut command = program.client("get_system_info", "{}");
    for (option, file) in options {
        command.arg(option).arg(file);
    }
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_call_shows_its_certificate_and_believes_only_its_own_authority() {
    let folder = tempfile::tempdir().unwrap();
    let (nodes, clients) = (Authority::new("nodes"), Authority::new("clients"));
    let ca = nodes.write(&folder.path().join("nodes.crt"));
    let client_ca = clients.write(&folder.path().join("clients.crt"));
    let node = nodes.issue_to(folder.path(), "node", &["localhost", "127.0.0.1"]);
    let client = clients.issue_to(folder.path(), "client", &["client"]);
    let stranger = Authority::new("others").issue_to(folder.path(), "stranger", &["client"]);
    let mut program = Program::start_with(
        20_000,
        &[
            ("ARSENAL_TLS_CERTIFICATE", &node.certificate.to_string_lossy()),
            ("ARSENAL_TLS_KEY", &node.key.to_string_lossy()),
            ("ARSENAL_TLS_CLIENT_CA", &client_ca.to_string_lossy()),
        ],
    );
    assert_ne!(call(&program, &[]).0, Some(0), "the port speaks no plain text");
    program.url = program.url.replace("http://", "https://");
    let identity = |issued: &authority::Issued| [issued.certificate.clone(), issued.key.clone()];
    let [certificate, key] = identity(&client);
    let shown: [(&str, &Path); 3] = [("--ca", &ca), ("--certificate", &certificate), ("--key", &key)];
    let (code, said) = call(&program, &shown);
    assert_eq!(code, Some(0), "{said}");
    // a client learns only after its hands are shaken that it is not let in
    assert_ne!(call(&program, &shown[..1]).0, Some(0), "it shows nothing");
    let (code, said) = call(&program, &[("--ca", &client_ca), shown[1], shown[2]]);
    assert_eq!(code, Some(3), "the node is of another authority: {said}");
    let [certificate, key] = identity(&stranger);
    let (code, said) = call(&program, &[("--ca", &ca), ("--certificate", &certificate), ("--key", &key)]);
    assert_ne!(code, Some(0), "it is of another authority: {said}");
    let (code, said) = call(&program, &[("--ca", Path::new("/no/such.crt"))]);
    assert_eq!((code, said.contains("/no/such.crt")), (Some(2), true), "{said}");
}
