//! Lists, finds and changes that ask all nodes.

use super::among;
use arsenal_tests::{Api, Cluster, Transport};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// So many counters on each node, with the amount that each was told to add.
async fn counters(cluster: &Cluster, nodes: u32, each: u32) -> Vec<String> {
    let mut pids = Vec::new();
    for number in 0..each {
        for id in 1..=nodes {
            let api = cluster.api(id, Transport::Grpc).await;
            let label = json!({"rank": format!("{}", number * nodes + (id * 7) % nodes)});
            let start = json!({"module": "counter", "args": {}, "labels": label});
            pids.push(api.ok("StartProcess", start).await["pid"].as_str().unwrap().to_owned());
        }
    }
    pids
}

async fn pages(api: &Api, mut request: Value) -> (Vec<Value>, usize) {
    let (mut rows, mut count) = (Vec::new(), 0);
    loop {
        let page = api.ok("ListAllProcesses", request.clone()).await;
        let processes = page["processes"].as_array().unwrap();
        assert!(processes.len() <= request["pageSize"].as_u64().unwrap_or(100) as usize);
        assert_eq!(page["unreached"], json!([]));
        rows.extend(processes.iter().cloned());
        count += 1;
        match page["nextPageToken"].as_str() {
            Some("") | None => return (rows, count),
            Some(token) => request["pageToken"] = json!(token),
        }
    }
}

fn pids(rows: &[Value]) -> Vec<String> {
    rows.iter().map(|row| row["pid"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_list_of_all_nodes_has_each_process_once_page_by_page() {
    among(3, |cluster, transport| async move {
        let api = cluster.api(2, transport).await;
        let expected: BTreeSet<String> = counters(&cluster, 3, 4).await.into_iter().collect();
        let request = json!({"node": "-", "filter": "module == 'counter'", "pageSize": 5});
        let (rows, count) = pages(&api, request.clone()).await;
        let seen = pids(&rows);
        assert_eq!(seen.len(), 12);
        assert_eq!(seen.iter().cloned().collect::<BTreeSet<_>>(), expected);
        assert!(count >= 3, "{count} pages");
        let (here, _) = pages(&api, json!({"filter": "module == 'counter'", "pageSize": 5})).await;
        assert!(pids(&here).iter().all(|pid| pid.starts_with("n2.")), "without `-` the node asked alone");
        let (there, _) = pages(&api, json!({"node": "n3", "filter": "module == 'counter'"})).await;
        assert_eq!(there.len(), 4);
        assert!(pids(&there).iter().all(|pid| pid.starts_with("n3.")));
    });
}

#[test]
fn an_order_holds_across_nodes_and_pages_and_shows_no_field_that_was_not_asked_for() {
    among(3, |cluster, transport| async move {
        let api = cluster.api(1, transport).await;
        counters(&cluster, 3, 4).await;
        for (order_by, descending) in [("pid desc", true), ("pid", false)] {
            let request = json!({
                "node": "-",
                "filter": "module == 'counter'",
                "orderBy": order_by,
                "pageSize": 5,
                "readMask": "registeredName,module",
            });
            let mut widened = request.clone();
            widened["readMask"] = json!("pid");
            let (rows, _) = pages(&api, widened).await;
            let seen: Vec<arsenal_runtime::Pid> =
                pids(&rows).iter().map(|pid| pid.parse().unwrap()).collect();
            let mut sorted = seen.clone();
            sorted.sort();
            if descending {
                sorted.reverse();
            }
            assert_eq!(seen, sorted);
            assert_eq!(seen.len(), 12);
            let (rows, _) = pages(&api, request).await;
            assert!(rows.iter().all(|row| row["module"] == "counter"), "{rows:?}");
            assert!(rows.iter().all(|row| matches!(row["pid"].as_str(), None | Some(""))), "{rows:?}");
        }
    });
}

#[test]
fn nodes_that_do_not_answer_are_named_and_the_others_answer_all_the_same() {
    among(3, |cluster, transport| async move {
        let api = cluster.api(1, transport).await;
        counters(&cluster, 3, 1).await;
        cluster.mark_down(2);
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        cluster.move_to(3, silent.local_addr().unwrap());
        let request = json!({"node": "-", "filter": "module == 'counter'"});
        let partial = api.ok("ListAllProcesses", request).await;
        assert_eq!(partial["unreached"], json!(["n2", "n3"]));
        assert_eq!(partial["processes"].as_array().unwrap().len(), 1);
        assert_eq!(partial["node"], "n1");
    });
}

#[test]
fn a_request_that_is_wrong_is_refused_as_by_one_node_and_so_is_a_token_of_another_list() {
    among(2, |cluster, transport| async move {
        let api = cluster.api(1, transport).await;
        let wrong = api.err("ListAllProcesses", json!({"node": "-", "filter": "colour =="})).await;
        assert_eq!((&*wrong.code, &*wrong.reason), ("INVALID_ARGUMENT", "BAD_FILTER"));
        let wrong = api.err("ListAllProcesses", json!({"node": "-", "orderBy": "colour"})).await;
        assert_eq!((&*wrong.code, &*wrong.reason), ("INVALID_ARGUMENT", "BADARG"));
        counters(&cluster, 2, 2).await;
        let one = api.ok("ListAllProcesses", json!({"pageSize": 1})).await["nextPageToken"].clone();
        let mixed = api.err("ListAllProcesses", json!({"node": "-", "pageToken": one})).await;
        assert_eq!((&*mixed.code, &*mixed.reason), ("INVALID_ARGUMENT", "BAD_PAGE_TOKEN"));
    });
}

#[test]
fn a_selective_send_reaches_all_nodes_and_its_guard_counts_all_of_them_before_anybody_gets_anything() {
    among(3, |cluster, transport| async move {
        let api = cluster.api(3, transport).await;
        let pids = counters(&cluster, 3, 2).await;
        let send = |expected: u32| {
            let filter = "module == 'counter'";
            json!({"node": "-", "filter": filter, "message": ["add", 1], "expectedCount": expected})
        };
        let refused = api.err("SelectiveSend", send(2)).await;
        assert_eq!((&*refused.code, &*refused.reason), ("ABORTED", "COUNT_MISMATCH"));
        let sent = api.ok("SelectiveSend", send(6)).await;
        assert_eq!(sent["count"], json!(6));
        let told: BTreeSet<&str> =
            sent["pids"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(told, pids.iter().map(String::as_str).collect());
    });
}
