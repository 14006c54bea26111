//! Groups: members, bounds, lists, watchers.

use super::{kill, received, texts};
use arsenal_tests::{Api, both};
use serde_json::json;

async fn groups(api: &Api) -> Vec<String> {
    let groups = api.ok("ListProcessGroups", json!({})).await["groups"].clone();
    groups.as_array().unwrap().iter().map(|group| group["group"].as_str().unwrap().to_owned()).collect()
}

// covers: create_process_group/2
#[test]
fn a_created_group_stays_when_it_is_empty_and_a_plain_one_does_not() {
    both(|api| async move {
        let pid = api.start("counter", json!({})).await;
        let create = json!({"group": "team", "metadata": {"colour": "red"}, "maxMembers": 1});
        let made = api.ok("CreateProcessGroup", create.clone()).await["group"].clone();
        assert_eq!((&made["created"], &made["metadata"]), (&json!(true), &json!({"colour": "red"})));
        let twice = api.err("CreateProcessGroup", create).await;
        assert_eq!((&*twice.code, &*twice.reason), ("ALREADY_EXISTS", "GROUP_EXISTS"));
        for group in ["team", "plain"] {
            api.ok("JoinProcessGroup", json!({"group": group, "processes": [pid]})).await;
        }
        let full = api.err("JoinProcessGroup", json!({"group": "team", "processes": [pid]})).await;
        assert_eq!((&*full.code, &*full.reason), ("RESOURCE_EXHAUSTED", "MAX_MEMBERS"));
        assert_eq!(groups(&api).await, ["plain", "team"]);
        for group in ["team", "plain"] {
            api.ok("LeaveProcessGroup", json!({"group": group, "processes": [pid]})).await;
        }
        assert_eq!(groups(&api).await, ["team"]);
        assert_eq!(
            api.ok("GetProcessGroup", json!({"group": "team"})).await["group"]["memberCount"],
            json!(0)
        );
        assert_eq!(api.err("GetProcessGroup", json!({"group": "plain"})).await.reason, "NO_GROUP");
        // the same name in another scope is another group
        api.ok("CreateProcessGroup", json!({"group": "team", "scope": "other"})).await;
    });
}

#[test]
fn a_group_is_not_created_with_a_bound_below_what_it_holds() {
    both(|api| async move {
        let pid = api.start("counter", json!({})).await;
        api.ok("JoinProcessGroup", json!({"group": "team", "processes": [pid, pid]})).await;
        let low = api.err("CreateProcessGroup", json!({"group": "team", "maxMembers": 1})).await;
        assert_eq!((&*low.code, &*low.reason), ("INVALID_ARGUMENT", "BADARG"));
        let made = api.ok("CreateProcessGroup", json!({"group": "team", "maxMembers": 2})).await;
        assert_eq!(made["group"]["memberCount"], json!(2), "the members of the plain one stay");
    });
}

// covers: join_process_group/2
#[test]
fn who_joins_twice_is_a_member_twice_until_it_dies() {
    both(|api| async move {
        let (a, b) = (api.start("counter", json!({})).await, api.start("counter", json!({})).await);
        let joined = api.ok("JoinProcessGroup", json!({"group": "team", "processes": [a, b, a]})).await;
        assert_eq!(joined["pids"], json!([a, b, a]));
        assert_eq!(joined["group"]["memberCount"], json!(3));
        let members = api.ok("ListGroupMembers", json!({"group": "team", "filter": "count == 2"})).await;
        assert_eq!(members["pids"], json!([a, a]));
        let nobody = api.err("JoinProcessGroup", json!({"group": "team"})).await;
        assert_eq!((&*nobody.code, &*nobody.reason), ("INVALID_ARGUMENT", "NO_PROCESSES"));
        kill(&api, &a).await;
        let left = api
            .eventually(|| async {
                let members = api.ok("ListGroupMembers", json!({"group": "team"})).await;
                (members["pids"] == json!([b])).then_some(members)
            })
            .await;
        assert_eq!(left["members"][0]["count"], json!(1));
        let dead = api.err("JoinProcessGroup", json!({"group": "team", "processes": [b, a]})).await;
        assert_eq!((&*dead.code, &*dead.reason), ("NOT_FOUND", "NOPROC"));
        assert_eq!(
            api.ok("ListGroupMembers", json!({"group": "team"})).await["pids"],
            json!([b]),
            "none joined"
        );
    });
}

// covers: leave_process_group/2
#[test]
fn who_leaves_once_has_one_membership_less() {
    both(|api| async move {
        let (a, b) = (api.start("counter", json!({})).await, api.start("counter", json!({})).await);
        api.ok("JoinProcessGroup", json!({"group": "team", "processes": [a, a]})).await;
        let left = api.ok("LeaveProcessGroup", json!({"group": "team", "processes": [b, a]})).await;
        assert_eq!(left, json!({"pids": [a], "memberCount": 1}));
        let stranger = api.err("LeaveProcessGroup", json!({"group": "team", "processes": [b]})).await;
        assert_eq!((&*stranger.code, &*stranger.reason), ("NOT_FOUND", "NOT_JOINED"));
        assert_eq!(stranger.exit, Some(json!("not_joined")));
        api.ok("LeaveProcessGroup", json!({"group": "team", "processes": [a]})).await;
        let gone = api.err("LeaveProcessGroup", json!({"group": "team", "processes": [a]})).await;
        assert_eq!(gone.reason, "NOT_JOINED");
    });
}

// covers: list_process_groups/0
#[test]
fn groups_are_listed_with_their_members_per_node() {
    both(|api| async move {
        let (a, b) = (api.start("counter", json!({})).await, api.start("counter", json!({})).await);
        assert_eq!(groups(&api).await, [] as [&str; 0]);
        api.ok("JoinProcessGroup", json!({"group": "small", "processes": [a]})).await;
        api.ok("JoinProcessGroup", json!({"group": "large", "processes": [a, b, b], "scope": "other"})).await;
        let listed = api.ok("ListProcessGroups", json!({"orderBy": "member_count desc"})).await;
        assert_eq!(listed["groups"][0]["group"], json!("large"));
        assert_eq!(listed["groups"][0]["nodeCounts"], json!([{"node": "n1", "count": 3}]));
        let scoped = api.ok("ListProcessGroups", json!({"scope": "pg"})).await;
        assert_eq!(scoped["groups"].as_array().unwrap().len(), 1);
        let large = api.ok("ListProcessGroups", json!({"filter": "member_count > 1"})).await;
        assert_eq!(large["groups"][0]["scope"], json!("other"));
        kill(&api, &b).await;
        api.eventually(|| async {
            let listed = api.ok("ListProcessGroups", json!({"scope": "other"})).await;
            (listed["groups"][0]["memberCount"] == json!(1)).then_some(())
        })
        .await;
    });
}

#[test]
fn a_group_is_deleted_as_it_was_read_and_its_members_live_on() {
    both(|api| async move {
        let pid = api.start("counter", json!({})).await;
        let etag = api.ok("CreateProcessGroup", json!({"group": "team"})).await["group"]["etag"].clone();
        api.ok("JoinProcessGroup", json!({"group": "team", "processes": [pid, pid]})).await;
        let stale = api.err("DeleteProcessGroup", json!({"group": "team", "etag": "0"})).await;
        assert_eq!((&*stale.code, &*stale.reason), ("ABORTED", "ETAG_MISMATCH"));
        let other = api.err("DeleteProcessGroup", json!({"group": "team", "expectedCount": 1})).await;
        assert_eq!((&*other.code, &*other.reason), ("ABORTED", "COUNT_MISMATCH"));
        let dry = api.ok("DeleteProcessGroup", json!({"group": "team", "dryRun": true})).await;
        assert_eq!(dry, json!({"members": [pid, pid], "logIndex": "0"}));
        let delete = json!({"group": "team", "etag": etag, "expectedCount": 2});
        assert_eq!(api.ok("DeleteProcessGroup", delete.clone()).await["members"], json!([pid, pid]));
        assert_eq!(api.err("DeleteProcessGroup", delete).await.reason, "NO_GROUP");
        api.ok("CallProcess", json!({"process": pid, "message": "get"})).await;
    });
}

#[test]
fn a_group_s_watcher_hears_of_joins_and_leaves_from_then_on() {
    both(|api| async move {
        let (a, b) = (api.start("counter", json!({})).await, api.start("counter", json!({})).await);
        let watcher = api.start("recorder", json!({})).await;
        api.ok("JoinProcessGroup", json!({"group": "team", "scope": "blue", "processes": [a]})).await;
        let watch = json!({"group": "team", "scope": "blue", "watcher": watcher});
        let begun = api.ok("MonitorGroup", watch).await;
        assert_eq!(begun["members"], json!([a]));
        api.ok("JoinProcessGroup", json!({"group": "team", "scope": "blue", "processes": [b]})).await;
        // a group of the same name in another scope is none of its business
        api.ok("JoinProcessGroup", json!({"group": "team", "processes": [b]})).await;
        kill(&api, &a).await;
        let heard = api
            .eventually(|| async {
                let heard = received(&api, &watcher).await;
                (heard.len() == 2).then_some(heard)
            })
            .await;
        assert_eq!(heard[0], json!([begun["monitor"], "join", "team", {"list": [b]}]));
        assert_eq!(heard[1], json!([begun["monitor"], "leave", "team", {"list": [a]}]));
        let nobody = api.err("MonitorGroup", json!({"group": "team"})).await;
        assert_eq!((&*nobody.code, &*nobody.reason), ("INVALID_ARGUMENT", "NO_WATCHER"));
        let dead = api.err("MonitorGroup", json!({"group": "team", "watcher": a})).await;
        assert_eq!((&*dead.code, &*dead.reason), ("NOT_FOUND", "NOPROC"));
        assert_eq!(texts(&begun["members"]).len(), 1);
    });
}
