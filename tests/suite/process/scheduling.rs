//! Priorities, migration, pinning.

use super::{call, grows, info, number, reductions, start};
use arsenal_tests::{Api, both};
use serde_json::{Value, json};

/// How often two loops are compared.
const TRIES_MAX: usize = 50;

// covers: set_process_priority/2
#[test]
fn a_low_loop_gets_an_eighth_of_a_normal_one_on_the_same_scheduler() {
    both(|api| async move {
        let (low, normal) = (start(&api, "busy", json!({})).await, start(&api, "busy", json!({})).await);
        for pid in [&low, &normal] {
            api.ok("PinProcessToScheduler", json!({"process": pid, "scheduler": 1})).await;
        }
        let set = api.ok("SetProcessPriority", json!({"process": low, "priority": "LOW"})).await;
        assert_eq!((&set["oldPriority"], &set["priority"]), (&json!("NORMAL"), &json!("LOW")));
        assert_eq!(info(&api, &low).await["priority"], "LOW");
        // both go on between two reads, and for long where the machine keeps this thread waiting: but not each time
        let mut ratios = Vec::new();
        while !ratios.iter().any(|ratio| (6.8..=9.2).contains(ratio)) {
            assert!(
                ratios.len() < TRIES_MAX,
                "a normal loop got {ratios:?} times the reductions of a low one"
            );
            grows(&api, &low, 10_000).await;
            let (low_before, normal_before) = (reductions(&api, &low).await, reductions(&api, &normal).await);
            grows(&api, &low, 100_000).await;
            let (low_after, normal_after) = (reductions(&api, &low).await, reductions(&api, &normal).await);
            #[expect(clippy::cast_precision_loss, reason = "a ratio of small counts")]
            ratios.push((normal_after - normal_before) as f64 / (low_after - low_before) as f64);
        }

        // one that is high runs before both
        api.ok("SetProcessPriority", json!({"process": low, "priority": "HIGH"})).await;
        grows(&api, &low, 10_000).await;
        let before = reductions(&api, &normal).await;
        grows(&api, &low, 100_000).await;
        let rest = reductions(&api, &normal).await - before;
        assert!(rest <= 20_000, "a normal loop got {rest} reductions beside a high one");
        // with nothing above it one that is low runs as it likes
        api.ok("KillProcess", json!({"process": normal})).await;
        api.ok("SetProcessPriority", json!({"process": low, "priority": "LOW"})).await;
        grows(&api, &low, 100_000).await;
        assert_eq!(api.err("SetProcessPriority", json!({"process": low})).await.reason, "BADARG");
    });
}

// covers: migrate_process/2
#[test]
fn a_migrated_process_has_its_next_turns_on_the_chosen_scheduler() {
    both(|api| async move {
        let pid = start(&api, "counter", json!({})).await;
        for scheduler in [2, 1, 2] {
            let moved = api.ok("MigrateProcess", json!({"process": pid, "scheduler": scheduler})).await;
            assert_eq!(moved["scheduler"], scheduler);
            call(&api, &pid, json!("get")).await;
            api.eventually(|| async { (info(&api, &pid).await["scheduler"] == scheduler).then_some(()) })
                .await;
        }
        let unknown = api.err("MigrateProcess", json!({"process": pid, "scheduler": 99})).await;
        assert_eq!((unknown.code.as_str(), unknown.reason.as_str()), ("OUT_OF_RANGE", "UNKNOWN_SCHEDULER"));
        api.ok("PinProcessToScheduler", json!({"process": pid, "scheduler": 1})).await;
        let pinned = api.err("MigrateProcess", json!({"process": pid, "scheduler": 2})).await;
        assert_eq!((pinned.code.as_str(), pinned.reason.as_str()), ("FAILED_PRECONDITION", "PINNED"));
        api.ok("MigrateProcess", json!({"process": pid, "scheduler": 1})).await;
    });
}

// covers: pin_process_to_scheduler/2, unpin_process_from_scheduler/1
#[test]
fn a_pinned_process_never_runs_elsewhere_and_an_unpinned_one_is_stolen_again() {
    both(|api| async move {
        let mut loops = Vec::new();
        for _ in 0..4 {
            let pid = start(&api, "busy", json!({})).await;
            let pinned = api.ok("PinProcessToScheduler", json!({"process": pid, "scheduler": 1})).await;
            assert_eq!(pinned["scheduler"], 1);
            assert!(pinned.get("oldScheduler").is_none_or(Value::is_null));
            loops.push(pid);
        }
        for pid in &loops {
            grows(&api, pid, 10_000).await;
            assert_eq!(info(&api, pid).await["pinnedScheduler"], 1);
        }
        for _ in 0..20 {
            for pid in &loops {
                assert_eq!(info(&api, pid).await["scheduler"], 1);
            }
        }
        for pid in &loops {
            let unpinned = api.ok("UnpinProcessFromScheduler", json!({"process": pid})).await;
            assert_eq!((&unpinned["unpinned"], &unpinned["oldScheduler"]), (&json!(true), &json!(1)));
        }
        let stolen = || async {
            for pid in &loops {
                if info(&api, pid).await["scheduler"] == 2 {
                    return Some(());
                }
            }
            None
        };
        api.eventually(stolen).await;
        let free = api.ok("UnpinProcessFromScheduler", json!({"process": loops[0]})).await;
        assert_ne!(free.get("unpinned"), Some(&json!(true)));
        let unknown = json!({"process": loops[0], "scheduler": 0});
        assert_eq!(api.err("PinProcessToScheduler", unknown).await.code, "OUT_OF_RANGE");
    });
}

/// Of each scheduler, how many turns it has run; of each process, how many it has had. No loop runs meanwhile.
async fn turns(api: &Api, loops: &[(u64, String)]) -> (Vec<u64>, Vec<u64>) {
    let still = || async {
        let schedulers =
            api.ok("GetSchedulerInfo", json!({})).await["schedulers"].as_array().unwrap().clone();
        let is_idle = |scheduler: &Value| {
            let current = scheduler["currentProcess"].as_str().unwrap_or_default();
            let queues = scheduler["runQueues"].as_array().unwrap();
            current.is_empty() && queues.iter().all(|queue| number(&queue["length"]) == 0)
        };
        schedulers.iter().all(is_idle).then(|| schedulers.iter().map(|s| number(&s["turns"])).collect())
    };
    let of_schedulers = api.eventually(still).await;
    let mut of_processes = Vec::new();
    for (_, pid) in loops {
        let asked = json!({"process": pid, "keys": ["turns"]});
        of_processes.push(number(&api.ok("GetProcessInfo", asked).await["items"][0]["value"]));
    }
    (of_schedulers, of_processes)
}

// covers: pin_process_to_scheduler/2
#[test]
fn with_loops_on_all_schedulers_each_counts_the_turns_of_those_pinned_to_it_and_no_others() {
    both(|api| async move {
        let pause = |pid: String| {
            let api = api.clone();
            let hold = json!({"process": pid, "holder": "tester", "lease": "3600s"});
            async move { api.ok("PauseProcessScheduling", hold).await }
        };
        let mut loops = Vec::new();
        for scheduler in [1_u64, 2, 1, 2, 2] {
            let pid = start(&api, "busy", json!({})).await;
            api.ok("PinProcessToScheduler", json!({"process": pid, "scheduler": scheduler})).await;
            pause(pid.clone()).await;
            loops.push((scheduler, pid));
        }
        let before = turns(&api, &loops).await;
        for (_, pid) in &loops {
            api.ok("ResumeProcessScheduling", json!({"process": pid, "holder": "tester"})).await;
        }
        for (_, pid) in &loops {
            grows(&api, pid, 50_000).await;
        }
        for (_, pid) in &loops {
            pause(pid.clone()).await;
        }
        let after = turns(&api, &loops).await;
        for scheduler in [1, 2] {
            let had = loops.iter().zip(after.1.iter().zip(&before.1));
            let had: u64 =
                had.filter(|((of, _), _)| *of == scheduler).map(|(_, (after, before))| after - before).sum();
            let at = usize::try_from(scheduler).unwrap() - 1;
            assert_eq!(after.0[at] - before.0[at], had, "turns that scheduler {scheduler} ran");
            assert!(had >= 25, "{had}");
        }
    });
}
