//! Upstreams behind TLS: whom the gateway believes, and whom it shows.

use std::path::{Path, PathBuf};

use arsenal_gateway::upstream::{Address, Remote, RemoteConfig};
use arsenal_tls::{Client, ClientFiles, H2, IdentityFiles, Server, ServerFiles};
use http::Request;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::net::TcpListener;

use crate::{
    Config,
    authority::{Authority, Issued},
    gateway, get,
    library::{self, Counters},
};

const BOOK: &str = "/v1/shelves/1/books/2";

fn identity(Issued { certificate, key }: Issued) -> IdentityFiles {
    IdentityFiles { certificate, key }
}

/// The small service behind TLS, for clients of an authority if one is named. Gives its port.
async fn serve(folder: &Path, servers: &Authority, name: &str, clients: Option<PathBuf>) -> u16 {
    let files = ServerFiles { identity: identity(servers.issue_to(folder, "server", &[name])), clients };
    let tls = Server::load(files, &[H2]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (tls, service) =
                (tls.clone(), TowerToHyperService::new(library::router(Counters::default())));
            tokio::spawn(async move {
                // who is not let in is told so by the handshake
                let Ok(stream) = tls.accept(stream).await else { return };
                let protocols = auto::Builder::new(TokioExecutor::new());
                let _ = protocols.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    port
}

async fn ask(url: &str, config: &RemoteConfig) -> u16 {
    let remote = Remote::with(&url.parse().unwrap(), config).unwrap();
    let got = get(&gateway(Config::default()).service(remote), Request::get(BOOK), "").await;
    if got.status != 200 {
        assert_eq!(got.json()["error"]["details"][0]["reason"], "UPSTREAM_UNAVAILABLE");
    }
    got.status.as_u16()
}

#[tokio::test]
async fn only_the_upstream_that_is_meant_is_called_and_only_by_who_may() {
    let folder = tempfile::tempdir().unwrap();
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let path = |name: &str| folder.path().join(name);
    let (servers_file, clients_file) =
        (servers.write(&path("servers.crt")), clients.write(&path("clients.crt")));
    let port = serve(folder.path(), &servers, "localhost", Some(clients_file.clone())).await;
    let load = |servers: &Path, shown: Option<(&Authority, &str)>| {
        let identity = shown
            .map(|(authority, stem)| identity(authority.issue_to(folder.path(), stem, &["gateway.test"])));
        let files = ClientFiles { servers: Some(servers.to_owned()), identity };
        let tls = Some(Client::load(files, &[H2]).unwrap());
        RemoteConfig { tls, connections: 1, ..RemoteConfig::default() }
    };
    let url = format!("https://localhost:{port}");
    let known = load(&servers_file, Some((&clients, "known")));
    assert_eq!(ask(&url, &known).await, 200);
    assert_eq!(ask(&url, &load(&servers_file, None)).await, 503, "nobody is shown");
    assert_eq!(
        ask(&url, &load(&servers_file, Some((&servers, "stranger")))).await,
        503,
        "a stranger is shown"
    );
    assert_eq!(ask(&url, &load(&clients_file, Some((&clients, "known")))).await, 503, "it is not believed");
    // by its address, for which its certificate is not
    let url = format!("https://127.0.0.1:{port}");
    assert_eq!(ask(&url, &known).await, 503);
    let named = RemoteConfig { server_name: Some("localhost".to_owned()), ..known };
    assert_eq!(ask(&url, &named).await, 200);
    // unencrypted, it is no gRPC
    assert_eq!(ask(&format!("http://localhost:{port}"), &named).await, 503);
}

#[test]
fn what_is_no_url_of_a_server_is_refused() {
    for url in ["nodes.test:7450", "/nodes", "ftp://nodes.test", "https://no_such..name:1"] {
        let refused = url.parse().map(|url| Address::new(&url, &RemoteConfig::default()).is_err());
        assert!(refused.unwrap_or(true), "{url}");
    }
}
