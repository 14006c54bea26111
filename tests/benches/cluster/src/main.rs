//! `bench-cluster PEER WHAT CLIENTS ADDRESS[,ADDRESS...]`: so many clients write or read for some seconds, and one line
//! tells how it went. The servers run already; `run`, beside this folder's `src`, starts them.
//!
//! A write gives a name that nobody has to a process (Arsenal), or puts a key that is not there yet (etcd); a read asks for
//! one that is there, linearizably.

mod messages;

use messages::{PutRequest, RangeRequest, RegisterProcessGloballyRequest, WhereisRequest};
use prost::Message;
use serde_json::json;
use std::net::SocketAddr;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What `run` has written before anything is read.
const READ: &str = "read";

/// The process on each node that the names are given to.
const HOLDER: &str = "holder";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [peer, what, clients, servers] = arguments.as_slice() else {
        eprintln!("usage: bench-cluster arsenal|etcd write|read CLIENTS ADDRESS[,ADDRESS...]");
        return ExitCode::from(2);
    };
    let servers: Result<Vec<SocketAddr>, _> = servers.split(',').map(str::parse).collect();
    let (Ok(servers), Ok(clients)) = (servers, clients.parse()) else {
        eprintln!("bench-cluster: a number of clients and addresses like 127.0.0.1:7450 are wanted");
        return ExitCode::from(2);
    };
    // another run's names are others
    let run = std::process::id();
    let (load, refused) = match (peer.as_str(), what.as_str()) {
        ("arsenal", "write") => {
            let method = "/arsenal.v1.RegistryService/RegisterProcessGlobally";
            bench_load::grpc_on(&servers, method, clients, move |_, number| {
                let (name, process) = (format!("{run}-{number}"), HOLDER.to_owned());
                RegisterProcessGloballyRequest { name, process, allow_multiple: true }.encode_to_vec()
            })
        }
        ("arsenal", "read") => {
            let method = "/arsenal.v1.RegistryService/GlobalWhereisName";
            bench_load::grpc_on(&servers, method, clients, |_, _| {
                WhereisRequest { name: READ.to_owned(), consistency: WhereisRequest::LINEARIZABLE }
                    .encode_to_vec()
            })
        }
        ("etcd", "write") => {
            bench_load::grpc_on(&servers, "/etcdserverpb.KV/Put", clients, move |_, number| {
                // as long as a pid
                PutRequest { key: format!("{run}-{number}").into(), value: b"n1.1.12".to_vec() }
                    .encode_to_vec()
            })
        }
        ("etcd", "read") => bench_load::grpc_on(&servers, "/etcdserverpb.KV/Range", clients, |_, _| {
            RangeRequest { key: READ.into() }.encode_to_vec()
        }),
        _ => {
            eprintln!("bench-cluster: `{peer} {what}` is not known");
            return ExitCode::from(2);
        }
    };
    let (p50_us, p99_us) = (load.p50.as_micros(), load.p99.as_micros());
    let line = json!({
        "peer": peer, "bench": what, "clients": clients, "value": load.rate, "unit": "calls/s",
        "p50_us": p50_us, "p99_us": p99_us, "refused": refused,
    });
    println!("{line}");
    ExitCode::SUCCESS
}
