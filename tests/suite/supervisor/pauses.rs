//! Pauses: what ends is owed while anybody holds a supervisor.

use super::{child, children, flags_of, kill, owed, pids, restarted, start, worker};
use arsenal_tests::both;
use serde_json::json;

// covers: pause_supervisor/1
#[test]
fn while_paused_a_dead_child_is_owed_and_the_end_of_the_lease_restarts_it() {
    both(|api| async move {
        let mut passing = worker("passing");
        passing["restart"] = json!("TEMPORARY");
        let supervisor = start(&api, json!({"children": [worker("a"), passing]})).await;
        let before = pids(&api, &supervisor).await;
        let pause = |lease: &str| json!({"supervisor": supervisor, "holder": "ops", "lease": lease});
        let paused = api.ok("PauseSupervisor", pause("60s")).await;
        assert_eq!(paused["hold"]["kind"], json!("PAUSE_SUPERVISION"));
        assert_eq!(paused["holds"].as_array().unwrap().len(), 1);
        for pid in before.values() {
            kill(&api, pid).await;
        }
        api.eventually(|| async { (owed(&api, &supervisor).await == json!(["a"])).then_some(()) }).await;
        api.eventually(|| async { (children(&api, &supervisor).await.len() == 1).then_some(()) }).await;
        let down = child(&api, &supervisor, "a").await;
        assert_eq!(
            (&down["state"], &down["owed"], &down["pid"]),
            (&json!("UNDEFINED"), &json!(true), &json!(""))
        );
        assert_eq!(flags_of(&api, &supervisor).await["paused"], json!(true));
        // the same holder again renews: one hold, a new end
        let renewed = api.ok("PauseSupervisor", pause("0.05s")).await;
        assert_eq!(renewed["hold"]["hold"], paused["hold"]["hold"]);
        assert_eq!(renewed["holds"].as_array().unwrap().len(), 1);
        restarted(&api, &supervisor, "a", &before["a"]).await;
        assert_eq!(flags_of(&api, &supervisor).await["paused"], json!(false));
        let endless = api.err("PauseSupervisor", pause("90000s")).await;
        assert_eq!((&*endless.code, &*endless.reason), ("INVALID_ARGUMENT", "BADARG"));
    });
}

// covers: resume_supervisor/1
#[test]
fn the_last_resume_brings_the_owed_child_back_and_costs_no_intensity() {
    both(|api| async move {
        let supervisor = start(&api, json!({"intensity": 0, "children": [worker("a")]})).await;
        let before = pids(&api, &supervisor).await["a"].clone();
        for holder in ["ops", "dev"] {
            api.ok("PauseSupervisor", json!({"supervisor": supervisor, "holder": holder})).await;
        }
        kill(&api, &before).await;
        api.eventually(|| async { (owed(&api, &supervisor).await == json!(["a"])).then_some(()) }).await;
        let resume = |holder: &str| json!({"supervisor": supervisor, "holder": holder});
        let one = api.ok("ResumeSupervisor", resume("ops")).await;
        assert_eq!((&one["resumed"], &one["restarted"]), (&json!(true), &json!([])));
        assert_eq!(one["holds"][0]["holder"], json!("dev"));
        assert_eq!(pids(&api, &supervisor).await["a"], "", "the other one still pauses it");
        let last = api.ok("ResumeSupervisor", resume("dev")).await;
        assert_eq!(last["restarted"][0]["id"], json!("a"));
        assert_eq!(last["restarted"][0]["pid"], json!(pids(&api, &supervisor).await["a"]));
        assert_eq!(flags_of(&api, &supervisor).await["restartsUsed"], json!(0));
        let none = api.ok("ResumeSupervisor", resume("dev")).await;
        assert_eq!(none["resumed"], json!(false), "nobody pauses it any more");
    });
}

// covers: pause_supervisor/1
#[test]
fn a_pause_is_a_hold_like_any_other_and_ends_with_its_holder() {
    both(|api| async move {
        let supervisor = start(&api, json!({"children": [worker("a")]})).await;
        let before = pids(&api, &supervisor).await["a"].clone();
        let holder = api.start("plain", json!(null)).await;
        let paused = api.ok("PauseSupervisor", json!({"supervisor": supervisor, "holder": holder})).await;
        let hold = &paused["hold"]["hold"];
        let filter = json!({"filter": format!("kind == 'PAUSE_SUPERVISION' && holder == '{holder}'")});
        let listed = api.ok("ListHolds", filter.clone()).await;
        assert_eq!((&listed["holds"][0]["hold"], &listed["holds"][0]["process"]), (hold, &json!(supervisor)));
        let renewed = api.ok("RenewHold", json!({"hold": hold, "lease": "3600s"})).await;
        let flags = flags_of(&api, &supervisor).await;
        assert_eq!(flags["pauseExpireTime"], renewed["expireTime"]);
        kill(&api, &before).await;
        api.eventually(|| async { (owed(&api, &supervisor).await == json!(["a"])).then_some(()) }).await;
        kill(&api, &holder).await;
        let next = restarted(&api, &supervisor, "a", &before).await;
        assert!(api.ok("ListHolds", filter).await["holds"].as_array().is_none_or(Vec::is_empty));

        let paused = api.ok("PauseSupervisor", json!({"supervisor": supervisor, "holder": "ops"})).await;
        kill(&api, &next).await;
        api.eventually(|| async { (owed(&api, &supervisor).await == json!(["a"])).then_some(()) }).await;
        api.ok("ReleaseHold", json!({"hold": paused["hold"]["hold"]})).await;
        restarted(&api, &supervisor, "a", &next).await;
    });
}
