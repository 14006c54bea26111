//! A node with encrypted ports, and clients that may speak to it or not, as programs.

use crate::authority::{Authority, Issued};
use crate::node::Program;
use std::path::Path;
use std::process::{Command, Output};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_client_calls_a_node_that_it_believes_and_that_knows_it() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("both");
    let ca = authority.write(&folder.path().join("ca.crt"));
    let node = authority.issue_to(folder.path(), "node", &["127.0.0.1", "node.test"]);
    let Issued { certificate, key } = authority.issue_to(folder.path(), "client", &["client.test"]);
    let program = Program::start_with(
        20_000,
        &[
            ("ARSENAL_TLS_CERTIFICATE", text(&node.certificate)),
            ("ARSENAL_TLS_KEY", text(&node.key)),
            ("ARSENAL_TLS_CLIENT_CA", text(&ca)),
        ],
    );
    let call = |options: &[&str]| -> Output {
        program.client("get_system_info", "{}").args(options).output().unwrap()
    };
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let known = ["--tls-ca", text(&ca), "--tls-cert", text(&certificate), "--tls-key", text(&key)];
    let output = call(&known);
    assert!(output.status.success(), "{}", said(&output));
    let named = call(&[&known[..], &["--tls-name", "node.test"]].concat());
    assert!(named.status.success(), "{}", said(&named));
    let stranger = Authority::new("others").issue_to(folder.path(), "stranger", &["client.test"]);
    let others = Authority::new("others").write(&folder.path().join("others.crt"));
    let absent = folder.path().join("absent.crt");
    for (options, code, part) in [
        (&[&known[..], &["--tls-name", "other.test"]].concat()[..], 3, "not valid for name"),
        (&known[..2], 3, "CertificateRequired"),
        (
            &[
                "--tls-ca",
                text(&ca),
                "--tls-cert",
                text(&stranger.certificate),
                "--tls-key",
                text(&stranger.key),
            ],
            3,
            "received fatal alert",
        ),
        (&["--tls-ca", text(&others)], 3, "UnknownIssuer"),
        (&["--tls-ca", text(&absent)], 2, "absent.crt"),
        (&["--tls-cert", text(&certificate)], 2, "--tls-key"),
    ] {
        let output = call(options);
        assert_eq!(output.status.code(), Some(code), "{options:?}: {}", said(&output));
        assert!(said(&output).contains(part), "{options:?}: {}", said(&output));
    }
}

#[test]
fn only_the_flag_or_known_clients_open_a_port_beyond_loopback() {
    let check = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_arsenal")).args(arguments).arg("--check").output().unwrap()
    };
    let gateway = ["gateway", "--listen", "0.0.0.0:8080"];
    let refused = check(&gateway);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(4), "{said}");
    assert!(said.contains("listen.rest") && said.contains("--insecure"), "{said}");
    assert!(check(&[&gateway[..], &["--insecure"]].concat()).status.success());
}
