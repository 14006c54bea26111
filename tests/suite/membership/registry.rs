//! Names and groups on three voters: what the rows of RegistryService promise of every node.

use super::{holder, on_three, on_three_as, register};
use arsenal_tests::{Api, Failure, Sandbox};
use futures_util::future::{join, join_all};
use serde_json::{Value, json};

async fn start(api: &Api) -> String {
    api.start("counter", Value::Null).await
}

/// A change that is asked for again while another node begins to lead, so that nothing was proposed.
async fn changed(api: &Api, rpc: &str, request: Value) -> Value {
    let ask = || async {
        match api.call(rpc, request.clone()).await {
            Ok(answer) => Some(answer),
            Err(failure) if failure.code == "UNAVAILABLE" => None,
            Err(failure) => panic!("{rpc}: {failure:?}"),
        }
    };
    api.eventually(ask).await
}

/// The log index of a change that comes after all that were answered.
async fn index_now(api: &Api) -> Value {
    let request = json!({"name": "last", "process": start(api).await});
    changed(api, "RegisterProcessGlobally", request).await["logIndex"].clone()
}

/// What a node knows of names and groups once it knows as much as `index` says.
async fn contents(api: &Api, index: &Value) -> Value {
    api.ok("ListRegistryContents", json!({"logIndex": index})).await
}

// covers: register_process_globally/2
#[test]
fn of_two_nodes_that_race_for_a_name_exactly_one_wins_everywhere() {
    on_three(|nodes, apis| async move {
        let _nodes = nodes;
        register(&apis[0], "first").await;
        let (mut round, mut won) = (0, 0);
        while won < 8 {
            round += 1;
            let name = format!("raced-{round}");
            let (one, two) = (start(&apis[0]).await, start(&apis[2]).await);
            let ask = |pid: &str| json!({"name": name, "process": pid});
            let tries = [(&apis[0], &one), (&apis[2], &two)];
            let asked = tries.map(|(api, pid)| api.call("RegisterProcessGlobally", ask(pid)));
            let [first, second] = asked;
            let (first, second) = join(first, second).await;
            let is_undecided = |outcome: &Result<Value, Failure>| {
                let failure = outcome.as_ref().err();
                failure.is_some_and(|failure| failure.code == "UNAVAILABLE" || failure.code == "ABORTED")
            };
            if is_undecided(&first) || is_undecided(&second) {
                // another node begins to lead
                continue;
            }
            won += 1;
            let winner = match (&first, &second) {
                (Ok(_), Err(lost)) if lost.code == "ALREADY_EXISTS" => &one,
                (Err(lost), Ok(_)) if lost.code == "ALREADY_EXISTS" => &two,
                other => panic!("{name}: {other:?}"),
            };
            for api in &apis {
                assert_eq!(holder(api, &name).await.as_ref(), Some(winner));
            }
        }
    });
}

// covers: unregister_process_globally/1
#[test]
fn a_name_that_was_given_up_is_gone_on_every_node_from_the_answers_index_on_and_a_stale_token_takes_none() {
    on_three(|nodes, apis| async move {
        let _nodes = nodes;
        let pid = start(&apis[0]).await;
        let register = json!({"name": "cart", "process": pid});
        let stale = changed(&apis[0], "RegisterProcessGlobally", register.clone()).await["token"].clone();
        let given_up = changed(&apis[1], "UnregisterProcessGlobally", json!({"name": "cart"})).await;
        for api in &apis {
            contents(api, &given_up["logIndex"]).await;
            let local = json!({"name": "cart", "consistency": "LOCAL"});
            assert_eq!(api.err("GlobalWhereisName", local).await.code, "NOT_FOUND");
        }
        changed(&apis[0], "RegisterProcessGlobally", register).await;
        let request = json!({"name": "cart", "token": stale});
        assert_eq!(apis[2].err("UnregisterProcessGlobally", request).await.code, "ABORTED");
        assert_eq!(holder(&apis[2], "cart").await, Some(pid));
    });
}

// covers: list_registry_contents/0
#[test]
fn three_nodes_tell_the_same_names_and_groups_of_one_index_and_each_its_own_local_names() {
    on_three(|nodes, apis| async move {
        let _nodes = nodes;
        for (number, api) in apis.iter().enumerate() {
            register(api, &format!("cart-{number}")).await;
            let pid = start(api).await;
            api.ok("RegisterProcess", json!({"process": pid, "name": "here"})).await;
            let join = json!({"group": "team", "processes": [pid, pid]});
            changed(api, "JoinProcessGroup", join).await;
        }
        let index = index_now(&apis[0]).await;
        let told = join_all(apis.iter().map(|api| contents(api, &index))).await;
        let shared = |dump: &Value| (dump["globalNames"].clone(), dump["groups"].clone());
        assert_eq!(told[0]["globalNames"].as_array().map(Vec::len), Some(4));
        assert_eq!(told[0]["groups"][0]["members"].as_array().map(Vec::len), Some(6));
        assert_eq!((shared(&told[1]), shared(&told[2])), (shared(&told[0]), shared(&told[0])));
        for api in &apis {
            let own = api.ok("RegisteredNames", json!({})).await;
            let of_node = |names: &&Value| names["node"] == own["node"];
            let local = told[0]["localNames"].as_array().unwrap().iter().find(of_node);
            assert_eq!(local.map(|names| &names["names"]), Some(&own["registrations"]));
        }
    });
}

// covers: whereis_process/1
#[test]
fn one_local_name_on_two_nodes_is_two_processes() {
    on_three(|nodes, apis| async move {
        let _nodes = nodes;
        let mut pids = Vec::new();
        for api in &apis[..2] {
            let pid = start(api).await;
            api.ok("RegisterProcess", json!({"process": pid, "name": "cart"})).await;
            pids.push(pid);
        }
        for (node, pid) in ["n1", "n2"].iter().zip(&pids) {
            let found = apis[2].ok("WhereisProcess", json!({"name": "cart", "node": node})).await;
            assert_eq!((&found["pid"], &found["node"]), (&json!(pid), &json!(node)));
        }
        let nowhere = apis[2].err("WhereisProcess", json!({"name": "cart", "node": "n3"})).await;
        assert_eq!(nowhere.code, "NOT_FOUND");
    });
}

// covers: broadcast_message/2
#[test]
fn a_broadcast_comes_to_every_member_of_every_node_as_often_as_it_joined() {
    on_three(|nodes, apis| async move {
        let _nodes = nodes;
        let mut recorders = Vec::new();
        for (times, api) in (1..).zip(&apis) {
            let pid = api.start("recorder", json!({})).await;
            let join = json!({"group": "team", "processes": vec![&pid; times]});
            changed(api, "JoinProcessGroup", join).await;
            recorders.push((pid, times));
        }
        contents(&apis[1], &index_now(&apis[2]).await).await;
        let sent = apis[1].ok("BroadcastMessage", json!({"group": "team", "message": "hi"})).await;
        let counts =
            json!([{"node": "n1", "count": 1}, {"node": "n2", "count": 2}, {"node": "n3", "count": 3}]);
        assert_eq!((&sent["nodes"], &sent["unreached"]), (&counts, &json!([])));
        for (pid, times) in recorders {
            let read = json!({"process": pid, "message": ["recorder", "read"]});
            let all = || async {
                let reply = apis[0].ok("CallProcess", read.clone()).await["reply"].clone();
                (reply["messages"] == json!(vec!["hi"; times])).then_some(())
            };
            apis[0].eventually(all).await;
        }
    });
}

// covers: multi_call_processes/3
#[test]
fn a_name_that_is_called_on_no_node_in_particular_is_called_on_all() {
    on_three(|nodes, apis| async move {
        let _nodes = nodes;
        for api in &apis[..2] {
            api.ok("StartProcess", json!({"module": "echo", "name": "mirror"})).await;
        }
        let answer = apis[2].ok("MultiCallProcesses", json!({"name": "mirror", "message": "hi"})).await;
        let nodes_of = |list: &str| -> Vec<String> {
            let entries = answer[list].as_array().into_iter().flatten();
            entries.map(|entry| entry["node"].as_str().unwrap_or_default().to_owned()).collect()
        };
        let mut replied = nodes_of("replies");
        replied.sort();
        assert_eq!(
            (replied, nodes_of("bad")),
            (vec!["n1".into(), "n2".into()], vec!["n3".into()]),
            "{answer}"
        );
    });
}

// covers: list_process_groups/0
#[test]
fn the_members_and_names_of_a_node_that_is_cut_off_vanish_on_the_others() {
    let config = |config: &mut arsenal_server::config::Config| {
        config.chaos.allowed = true;
    };
    on_three_as(config, |nodes: Vec<Sandbox>, apis| async move {
        let _nodes = nodes;
        let mut pids = Vec::new();
        for api in &apis {
            let pid = start(api).await;
            changed(api, "JoinProcessGroup", json!({"group": "team", "processes": [pid]})).await;
            pids.push(pid);
        }
        register(&apis[2], "cart").await;
        apis[0].ok("SimulateNetworkPartition", json!({"to": ["n3"], "ttl": "600s"})).await;
        for api in &apis[..2] {
            let gone = || async {
                let members = api.ok("ListGroupMembers", json!({"group": "team"})).await;
                (members["pids"] == json!(pids[..2]) && holder(api, "cart").await.is_none()).then_some(())
            };
            api.eventually(gone).await;
        }
    });
}
