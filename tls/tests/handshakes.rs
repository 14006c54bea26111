//! Who is let in, who is believed, and what a change of the files does.

#![expect(clippy::unwrap_used, reason = "what fails here fails the run, which is its purpose")]

#[path = "support/authority.rs"]
mod authority;

use arsenal_tls::{
    Client, ClientFiles, H2, HTTP_1_1, IdentityFiles, PeerIdentity, Server, ServerFiles, TlsError,
};
use authority::{Authority, Issued};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const DEADLINE: Duration = Duration::from_secs(30);

fn identity(issued: &Issued) -> IdentityFiles {
    IdentityFiles { certificate: issued.certificate.clone(), key: issued.key.clone() }
}

/// A server `localhost` of one authority, which asks for clients of another.
struct Parties {
    folder: TempDir,
    servers: Authority,
    clients: Authority,
}

impl Parties {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, servers: Authority::new("servers"), clients: Authority::new("clients") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn server(&self, asks: bool) -> Server {
        let issued = self.servers.issue_to(self.folder.path(), "server", &["localhost"]);
        let clients = asks.then(|| self.clients.write(&self.path("clients.crt")));
        Server::load(ServerFiles { identity: identity(&issued), clients }, &[H2, HTTP_1_1]).unwrap()
    }

    fn client(&self, identity_of: Option<&Authority>) -> Client {
        let servers = Some(self.servers.write(&self.path("servers.crt")));
        let issued = identity_of.map(|authority| {
            authority.issue_to(self.folder.path(), "client", &["spiffe://test/client", "client.test"])
        });
        Client::load(ClientFiles { servers, identity: issued.as_ref().map(identity) }, &[H2]).unwrap()
    }
}

/// What both sides make of a connection: whom the server sees, and by which protocol.
type Met = Result<(Option<PeerIdentity>, Option<Vec<u8>>), String>;

/// A whole connection, with a word each way, since a client learns only by reading that it is not let in.
async fn meet(server: &Server, client: &Client, name: &str) -> Met {
    let (near, far) = tokio::io::duplex(1 << 16);
    let serving = async {
        let mut stream = server.accept(far).await.map_err(|error| format!("server: {error}"))?;
        let connection = stream.get_ref().1;
        let met = (PeerIdentity::of(connection), connection.alpn_protocol().map(<[u8]>::to_vec));
        stream.write_all(b"!").await.map_err(|error| format!("server: {error}"))?;
        stream.flush().await.map_err(|error| format!("server: {error}"))?;
        Ok::<_, String>(met)
    };
    let name = Client::server_name(name).unwrap();
    let asking = async {
        let mut stream = client.connect(name, near).await.map_err(|error| format!("client: {error}"))?;
        stream.read_u8().await.map_err(|error| format!("client: {error}"))
    };
    let met = async {
        let (served, asked) = tokio::join!(serving, asking);
        match (served, asked) {
            (Ok(met), Ok(_)) => Ok(met),
            (served, asked) => {
                Err([served.err(), asked.err()].into_iter().flatten().collect::<Vec<_>>().join("; "))
            }
        }
    };
    tokio::time::timeout(DEADLINE, met).await.unwrap()
}

#[tokio::test]
async fn a_server_is_believed_by_its_authority_and_name_alone() {
    let parties = Parties::new();
    let server = parties.server(false);
    let client = parties.client(None);
    let (peer, protocol) = meet(&server, &client, "localhost").await.unwrap();
    assert_eq!((peer, protocol.as_deref()), (None, Some(H2)));
    let other = meet(&server, &client, "other.test").await.unwrap_err();
    assert!(other.contains("not valid for name \"other.test\""), "{other}");
    let stranger =
        ClientFiles { servers: Some(parties.clients.write(&parties.path("other.crt"))), identity: None };
    let stranger = meet(&server, &Client::load(stranger, &[H2]).unwrap(), "localhost").await.unwrap_err();
    assert!(stranger.contains("UnknownIssuer"), "{stranger}");
}

#[tokio::test]
async fn only_clients_of_the_authority_asked_for_come_in_and_are_known_by_name() {
    let parties = Parties::new();
    let server = parties.server(true);
    assert!(server.asks_clients());
    let none = meet(&server, &parties.client(None), "localhost").await.unwrap_err();
    assert!(none.contains("peer sent no certificates"), "{none}");
    let wrong = meet(&server, &parties.client(Some(&parties.servers)), "localhost").await.unwrap_err();
    assert!(wrong.contains("UnknownIssuer"), "{wrong}");
    let (peer, _) = meet(&server, &parties.client(Some(&parties.clients)), "localhost").await.unwrap();
    let peer = peer.unwrap();
    assert_eq!((peer.name(), &*peer.subject), ("spiffe://test/client", "CN=spiffe://test/client"));
    assert_eq!(peer.dns, ["client.test"]);
}

#[tokio::test]
async fn a_client_of_another_authority_comes_in_once_that_is_the_one_asked_for() {
    let parties = Parties::new();
    let (server, client) = (parties.server(true), parties.client(Some(&parties.clients)));
    let next = Authority::new("the next");
    let newcomer = {
        let issued = next.issue_to(parties.folder.path(), "newcomer", &["newcomer.test"]);
        let servers = Some(parties.path("servers.crt"));
        Client::load(ClientFiles { servers, identity: Some(identity(&issued)) }, &[H2]).unwrap()
    };
    assert!(meet(&server, &newcomer, "localhost").await.is_err());
    // both, while certificates are exchanged
    std::fs::write(parties.path("clients.crt"), parties.clients.pem() + &next.pem()).unwrap();
    assert!(server.look().unwrap());
    meet(&server, &newcomer, "localhost").await.unwrap();
    meet(&server, &client, "localhost").await.unwrap();
    // and then the new one alone: a session that a client could resume lets nobody in
    next.write(&parties.path("clients.crt"));
    assert!(server.look().unwrap());
    meet(&server, &newcomer, "localhost").await.unwrap();
    assert!(meet(&server, &client, "localhost").await.is_err());
}

#[tokio::test]
async fn a_new_certificate_is_shown_once_its_key_is_there_too() {
    let parties = Parties::new();
    let (server, client) = (parties.server(false), parties.client(None));
    let renamed = Authority::issue(&parties.servers, &["renamed.test"]);
    std::fs::write(parties.path("server.crt"), renamed.0).unwrap();
    let half = server.look().unwrap_err();
    assert!(matches!(half, TlsError::Identity { .. }), "{half}");
    for part in ["server.crt", "server.key"] {
        assert!(half.to_string().contains(part), "{half}");
    }
    assert!(!server.look().unwrap(), "the same half is told once");
    meet(&server, &client, "localhost").await.unwrap();
    std::fs::write(parties.path("server.key"), renamed.1).unwrap();
    assert!(server.look().unwrap());
    meet(&server, &client, "renamed.test").await.unwrap();
    assert!(meet(&server, &client, "localhost").await.is_err());
}

#[tokio::test]
async fn a_client_shows_its_new_certificate_to_the_next_server() {
    let parties = Parties::new();
    let (server, client) = (parties.server(true), parties.client(Some(&parties.clients)));
    let followed = tokio::spawn(client.clone().follow(Duration::from_millis(1)));
    parties.clients.issue_to(parties.folder.path(), "client", &["second.test"]);
    let met = async {
        loop {
            let (peer, _) = meet(&server, &client, "localhost").await.unwrap();
            if peer.is_some_and(|peer| peer.name() == "second.test") {
                break;
            }
        }
    };
    tokio::time::timeout(DEADLINE, met).await.unwrap();
    followed.abort();
}

#[test]
fn what_is_wrong_with_a_file_is_told_with_its_name() {
    let parties = Parties::new();
    let issued = parties.servers.issue_to(parties.folder.path(), "good", &["localhost"]);
    let text = |name: &str, text: &str| {
        std::fs::write(parties.path(name), text).unwrap();
        parties.path(name)
    };
    let empty = text("empty.pem", "");
    let broken = text("broken.pem", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n");
    let absent = parties.path("absent.pem");
    let (certificate, key) = (&issued.certificate, &issued.key);
    let cases: [(&Path, &Path, Option<&Path>, &str); 7] = [
        (&absent, key, None, "absent.pem: No such file"),
        (certificate, &absent, None, "absent.pem: No such file"),
        (certificate, key, Some(&absent), "absent.pem: No such file"),
        (&empty, key, None, "empty.pem has no certificate"),
        (certificate, certificate, None, "good.crt has no private key"),
        (&broken, key, None, "broken.pem is no PEM file"),
        (certificate, key, Some(key), "good.key has no certificate"),
    ];
    for (certificate, key, clients, part) in cases {
        let identity = IdentityFiles { certificate: certificate.to_owned(), key: key.to_owned() };
        let files = ServerFiles { identity, clients: clients.map(Path::to_owned) };
        let refused = Server::load(files, &[]).unwrap_err().to_string();
        assert!(refused.contains(part), "{part}: {refused}");
    }
    assert!(Client::server_name("no name").unwrap_err().to_string().contains("`no name`"));
    for name in ["localhost", "127.0.0.1", "[::1]", "::1"] {
        Client::server_name(name).unwrap();
    }
}
