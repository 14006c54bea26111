//! The ports encrypted: who is let in, as whom, by which protocol, and what new files change.

#[path = "../../tls/tests/support/authority.rs"]
pub(crate) mod authority;

use arsenal_server::config::Config;
use arsenal_tests::{DEADLINE, Sandbox, SandboxConfig};
use arsenal_tls::{Client, ClientFiles, H2, HTTP_1_1, IdentityFiles};
use authority::{Authority, Issued};
use bytes::Bytes;
use http::{Request, StatusCode, Version};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The authorities of nodes and of clients, and the folder with what they issue.
pub(crate) struct Papers {
    folder: TempDir,
    pub(crate) nodes: Authority,
    pub(crate) clients: Authority,
}

impl Papers {
    pub(crate) fn new() -> Self {
        let papers = Self {
            folder: tempfile::tempdir().unwrap(),
            nodes: Authority::new("nodes"),
            clients: Authority::new("clients"),
        };
        papers.nodes.write(&papers.path("nodes.crt"));
        papers.clients.write(&papers.path("clients.crt"));
        papers
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }

    /// Writes a certificate for the loopback interface.
    pub(crate) fn issue_node(&self) -> Issued {
        self.nodes.issue_to(self.folder.path(), "node", &["localhost", "127.0.0.1"])
    }

    /// Has ports encrypted, and clients asked if they are to be.
    pub(crate) fn encrypt(&self, config: &mut Config, asks: bool) {
        self.issue_node();
        config.tls.certificate = self.text("node.crt");
        config.tls.key = self.text("node.key");
        if asks {
            config.tls.client_ca = self.text("clients.crt");
        }
    }

    /// A client that believes the nodes, and shows who it is if it has a name.
    pub(crate) fn client(&self, authority: &Authority, name: Option<&str>, protocols: &[&[u8]]) -> Client {
        let issued = name.map(|name| authority.issue_to(self.folder.path(), "client", &[name]));
        let identity = issued.map(|Issued { certificate, key }| IdentityFiles { certificate, key });
        Client::load(ClientFiles { servers: Some(self.path("nodes.crt")), identity }, protocols).unwrap()
    }
}

/// A node with encrypted ports, and its papers.
async fn node(asks: bool, set: impl FnOnce(&mut Config)) -> (Sandbox, Papers) {
    let papers = Papers::new();
    let mut config = SandboxConfig::default();
    papers.encrypt(&mut config.config, asks);
    set(&mut config.config);
    (Sandbox::start_with(config).await, papers)
}

pub(crate) struct Answer {
    version: Version,
    pub(crate) status: StatusCode,
    body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// One request on a connection of its own, by the protocol that both sides agree on.
pub(crate) async fn ask(
    address: SocketAddr,
    client: &Client,
    request: Request<Full<Bytes>>,
) -> Result<Answer, String> {
    let told = |error: &dyn std::error::Error| {
        let causes = std::iter::successors(error.source(), |error| error.source());
        causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
    };
    let asked = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let name = Client::server_name("localhost").unwrap();
        let stream = client.connect(name, stream).await.map_err(|error| told(&error))?;
        let agreed = stream.get_ref().1.alpn_protocol() == Some(H2);
        let response = if agreed {
            let connection =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
            let (mut sender, connection) = connection.await.map_err(|error| told(&error))?;
            tokio::spawn(connection);
            sender.send_request(request).await
        } else {
            let connection = hyper::client::conn::http1::handshake(TokioIo::new(stream));
            let (mut sender, connection) = connection.await.map_err(|error| told(&error))?;
            tokio::spawn(connection);
            sender.send_request(request).await
        };
        let (parts, body) = response.map_err(|error| told(&error))?.into_parts();
        let body = body.collect().await.map_err(|error| told(&error))?.to_bytes();
        Ok(Answer { version: parts.version, status: parts.status, body })
    };
    tokio::time::timeout(DEADLINE, asked).await.unwrap()
}

pub(crate) fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("https://localhost{path}"))
        .header("host", "localhost")
        .body(Full::default())
        .unwrap()
}

pub(crate) fn post(path: &str, body: &Value) -> Request<Full<Bytes>> {
    let request = Request::post(format!("https://localhost{path}")).header("host", "localhost");
    let request = request.header("content-type", "application/json");
    request.body(Full::from(body.to_string())).unwrap()
}

/// grpc.health.v1 of the whole node.
fn health() -> Request<Full<Bytes>> {
    let request = Request::post("https://localhost/grpc.health.v1.Health/Check").header("te", "trailers");
    let request = request.header("content-type", "application/grpc");
    request.body(Full::from(&[0; 5][..])).unwrap()
}

#[tokio::test]
async fn both_ports_speak_whichever_protocol_the_client_agrees_on() {
    let (node, papers) = node(false, |_| ()).await;
    for (protocols, version) in [
        (&[H2][..], Version::HTTP_2),
        (&[HTTP_1_1], Version::HTTP_11),
        (&[H2, HTTP_1_1], Version::HTTP_2),
        (&[], Version::HTTP_11),
    ] {
        let client = papers.client(&papers.clients, None, protocols);
        let answer = ask(node.rest(), &client, get("/v1/operations")).await.unwrap();
        assert_eq!((answer.status, answer.version), (StatusCode::OK, version), "{protocols:?}");
    }
    let client = papers.client(&papers.clients, None, &[H2, HTTP_1_1]);
    let answer = ask(node.grpc(), &client, health()).await.unwrap();
    // SERVING
    assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &[0, 0, 0, 0, 2, 8, 1][..]));
}

#[tokio::test]
async fn a_client_without_the_right_certificate_gets_no_answer_from_either_port() {
    let (node, papers) = node(true, |_| ()).await;
    let known = papers.client(&papers.clients, Some("client.test"), &[H2]);
    for (address, request) in [(node.rest(), get("/healthz")), (node.grpc(), health())] {
        for stranger in [
            papers.client(&papers.clients, None, &[H2]),
            papers.client(&papers.nodes, Some("client.test"), &[H2]),
        ] {
            let refused = ask(address, &stranger, request.clone()).await;
            assert!(refused.is_err(), "{:?}", refused.map(|answer| answer.status));
        }
        assert_eq!(ask(address, &known, request).await.unwrap().status, StatusCode::OK);
    }
}

#[tokio::test]
async fn who_asks_is_whom_the_certificate_names_and_nobody_whom_a_header_names() {
    let (node, papers) = node(true, |_| ()).await;
    let client = papers.client(&papers.clients, Some("spiffe://test/orders"), &[H2]);
    let started = post("/v1/processes", &json!({"module": "counter", "name": "c"}));
    assert_eq!(ask(node.rest(), &client, started).await.unwrap().status, StatusCode::OK);
    let mut pause = post("/v1/processes/c:pauseScheduling", &json!({"lease": "60s"}));
    for header in ["arsenal-principal", "x-forwarded-client-cert", "grpc-metadata-principal"] {
        pause.headers_mut().insert(header, "spiffe://test/admin".parse().unwrap());
    }
    assert_eq!(ask(node.rest(), &client, pause).await.unwrap().status, StatusCode::OK);
    let holds = ask(node.rest(), &client, get("/v1/holds")).await.unwrap().json();
    assert!(holds.to_string().contains("spiffe://test/orders"), "{holds}");
    assert!(!holds.to_string().contains("admin"), "{holds}");
}

#[tokio::test]
async fn plain_http_on_an_encrypted_port_is_told_so() {
    let (node, _papers) = node(false, |_| ()).await;
    for address in [node.rest(), node.grpc()] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(DEADLINE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.0 400 ") && answer.contains("use https"), "{answer}");
    }
}

#[tokio::test]
async fn a_handshake_that_stalls_is_given_up_and_holds_nobody_back() {
    let (node, papers) = node(false, |config| config.listen.first_byte_ms = 500).await;
    let mut stalled = TcpStream::connect(node.rest()).await.unwrap();
    // the first half of a record's head
    stalled.write_all(&[22, 3]).await.unwrap();
    let client = papers.client(&papers.clients, None, &[H2]);
    // its own handshake may take too long on a busy machine, but not each
    let answered = async { while ask(node.rest(), &client, get("/healthz")).await.is_err() {} };
    tokio::time::timeout(DEADLINE, answered).await.unwrap();
    let mut rest = Vec::new();
    // a reset is an end too
    let _ = tokio::time::timeout(DEADLINE, stalled.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.is_empty(), "{rest:?}");
}

#[tokio::test]
async fn new_files_count_from_the_next_connection_on() {
    let (node, papers) = node(true, |config| config.tls.reload_ms = 1).await;
    let client = papers.client(&papers.clients, Some("client.test"), &[HTTP_1_1]);
    let stream = TcpStream::connect(node.rest()).await.unwrap();
    let stream = client.connect(Client::server_name("localhost").unwrap(), stream).await.unwrap();
    let (mut open, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    assert_eq!(open.send_request(get("/healthz")).await.unwrap().status(), StatusCode::OK);
    let next = Authority::new("the next");
    next.write(&papers.path("clients.crt"));
    let until_refused = async { while ask(node.rest(), &client, get("/healthz")).await.is_ok() {} };
    tokio::time::timeout(DEADLINE, until_refused).await.unwrap();
    let newcomer = papers.client(&next, Some("newcomer.test"), &[H2]);
    assert_eq!(ask(node.rest(), &newcomer, get("/healthz")).await.unwrap().status, StatusCode::OK);
    // the connection from before goes on
    open.ready().await.unwrap();
    assert_eq!(open.send_request(get("/healthz")).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_node_does_not_start_with_files_that_it_cannot_use() {
    let papers = Papers::new();
    let mut config = SandboxConfig::default().config;
    papers.encrypt(&mut config, false);
    config.tls.key = papers.text("absent.key");
    let refused = arsenal_server::assembly::serve(&config, Vec::new()).await.err().unwrap().to_string();
    assert!(refused.contains("absent.key"), "{refused}");
}

#[tokio::test]
async fn beyond_loopback_a_port_opens_only_for_clients_that_are_known() {
    let papers = Papers::new();
    let mut config = SandboxConfig::default().config;
    config.listen.rest = "0.0.0.0:0".parse().unwrap();
    config.listen.grpc = "127.0.0.1:0".parse().unwrap();
    let refused = |config: &Config| config.check().err().map(|error| error.to_string()).unwrap_or_default();
    assert!(
        refused(&config).contains("`tls.certificate`, `tls.key` and `tls.client_ca`"),
        "{}",
        refused(&config)
    );
    assert!(arsenal_server::assembly::serve(&config, Vec::new()).await.is_err());
    papers.encrypt(&mut config, false);
    assert!(refused(&config).contains("`tls.client_ca` is set too"), "{}", refused(&config));
    papers.encrypt(&mut config, true);
    assert_eq!(refused(&config), "");
    let running = arsenal_server::assembly::serve(&config, Vec::new()).await.unwrap();
    assert!(running.stop(DEADLINE).await);
}

#[tokio::test]
async fn a_node_that_knows_its_clients_gathers_from_itself() {
    let (node, papers) = node(true, |_| ()).await;
    let client = papers.client(&papers.clients, Some("client.test"), &[H2]);
    let started = post("/v1/processes", &json!({"module": "counter", "name": "c"}));
    let pid = ask(node.rest(), &client, started).await.unwrap().json()["pid"].clone();
    let call = json!({"call": {"operation": "whereis_process/1", "request": {"name": "c"}}});
    let gathered = ask(node.rest(), &client, post("/v1/nodes:gather", &call)).await.unwrap().json();
    assert_eq!(gathered["entries"][0]["response"]["pid"], pid, "{gathered}");
}

#[tokio::test]
async fn a_cluster_that_knows_its_clients_has_a_name_that_tells_nodes_from_them() {
    let papers = Papers::new();
    let mut config = SandboxConfig::default().config;
    papers.encrypt(&mut config, true);
    assert!(config.check().is_ok(), "one that is alone has nobody to tell from them");
    config.node.data_dir = papers.text("data");
    config.cluster.bootstrap_expect = 3;
    let refused = config.check().unwrap_err().to_string();
    assert!(refused.contains("tls.node_name is empty"), "{refused}");
    config.tls.node_name = "nodes.test".to_owned();
    assert!(config.check().is_ok());
}

#[tokio::test]
async fn a_gateway_of_its_own_is_to_its_node_whom_its_own_certificate_names() {
    let (node, papers) = node(true, |_| ()).await;
    let mut config = SandboxConfig::default().config;
    config.listen.rest = "127.0.0.1:0".parse().unwrap();
    // it lets in who is known, and is known itself
    papers.encrypt(&mut config, true);
    config.gateway.upstream = format!("https://localhost:{}", node.grpc().port());
    config.gateway.upstream_ca = papers.text("nodes.crt");
    let mine = papers.clients.issue_to(&papers.path(""), "gateway", &["gateway.test"]);
    config.gateway.upstream_certificate = mine.certificate.to_string_lossy().into_owned();
    config.gateway.upstream_key = mine.key.to_string_lossy().into_owned();
    let (address, _serving, _stop) = arsenal_server::standalone::serve_gateway(&config).await.unwrap();
    let client = papers.client(&papers.clients, Some("client.test"), &[H2]);
    let started = post("/v1/processes", &json!({"module": "counter", "name": "c"}));
    assert_eq!(ask(address, &client, started).await.unwrap().status, StatusCode::OK);
    let pause = post("/v1/processes/c:pauseScheduling", &json!({"lease": "60s"}));
    assert_eq!(ask(address, &client, pause).await.unwrap().status, StatusCode::OK);
    let holds = ask(address, &client, get("/v1/holds")).await.unwrap().json();
    assert!(holds.to_string().contains("gateway.test"), "{holds}");
    config.gateway.upstream_key = papers.text("absent.key");
    let refused = arsenal_server::standalone::serve_gateway(&config).await.err().unwrap().to_string();
    assert!(refused.contains("absent.key"), "{refused}");
}
