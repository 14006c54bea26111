//! What a link promises, over hundreds of random runs.

use super::{End, World};
use crate::config::LinkConfig;
use arsenal_runtime::remote::{Carried, Parcel};
use arsenal_runtime::{
    Behaviour, Body, Context, Description, Event as Turn, Kind, Message, Pid, Receive, StartOptions, Step,
    Term,
};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const RUNS: u64 = 120;

/// Small sizes, so that a run has many batches, fragments and waits for credit.
fn config() -> LinkConfig {
    LinkConfig {
        batch_bytes: 512,
        lane_window_bytes: 2_048,
        fragment_window_bytes: 1_024,
        crowded_bytes: 64 << 10,
        queued_bytes_max: 16 << 20,
        signal_bytes_max: 1 << 20,
        ..LinkConfig::default()
    }
}

type Log = Arc<Mutex<Vec<Message>>>;

struct Keeper(Log);

impl Body for Keeper {
    fn step(&mut self, event: Turn, _context: &mut Context<'_>) -> Step {
        if let Turn::Message(message) = event {
            self.0.lock().unwrap().push(message);
        }
        Step::Wait(Receive::any())
    }
}

fn keeper(end: &End) -> (Pid, Log) {
    let log = Log::default();
    let options = StartOptions { trap_exit: true, ..StartOptions::default() };
    let description = Arc::new(Description::native("keeper", Behaviour::Plain));
    let process = end.node.spawn(&description, Box::new(Keeper(Arc::clone(&log))), options).unwrap();
    end.node.run_until_idle();
    (process.pid(), log)
}

/// Numbered messages of some senders to some receivers.
#[derive(Default)]
struct Traffic {
    sent: BTreeMap<(Pid, Pid), i64>,
}

impl Traffic {
    /// Sends some messages, a few of them big.
    fn burst(&mut self, world: &mut World, at: usize, receivers: &[Pid]) {
        for _ in 0..world.random.below(40) {
            let from = Pid::new(at as u32 + 1, 1, 1_000 + world.random.below(6));
            let to = receivers[world.random.below(receivers.len() as u64) as usize];
            let size = match world.random.below(12) {
                0 => world.random.below(20_000),
                1 => 500 + world.random.below(30),
                _ => world.random.below(100),
            };
            let number = self.sent.entry((from, to)).or_default();
            let padding = Term::Bytes(Bytes::from(vec![7; size as usize]).into());
            let message = Message::info(from, [Term::Int(*number), padding].into());
            *number += 1;
            let carried = world.ends[at].outgoing.put(&Parcel::message(to, message));
            assert!(matches!(carried, Carried::Sent | Carried::Crowded(_)), "{carried:?}");
        }
    }

    /// All that was sent has arrived, once and in order.
    fn has_arrived(&self, logs: &[(Pid, Log)]) -> Result<(), String> {
        for ((from, to), sent) in &self.sent {
            let (_, log) = logs.iter().find(|(pid, _)| pid == to).unwrap();
            let log = log.lock().unwrap();
            let numbers: Vec<i64> = log
                .iter()
                .filter(|message| message.from == *from)
                .map(|message| message.payload.as_list().unwrap()[0].as_int().unwrap())
                .collect();
            if numbers != (0..*sent).collect::<Vec<_>>() {
                return Err(format!("{from} sent {sent} messages to {to}, which received {numbers:?}"));
            }
        }
        Ok(())
    }
}

#[test]
fn nothing_is_lost_doubled_or_out_of_order_across_cuts_that_are_mended_in_time() {
    for seed in 0..RUNS {
        let mut world = World::new(seed, &config());
        let logs: Vec<(Pid, Log)> = [0, 0, 1, 1].map(|at: usize| keeper(&world.ends[at])).into();
        let (here, there) = ([logs[0].0, logs[1].0], [logs[2].0, logs[3].0]);
        let mut traffic = [Traffic::default(), Traffic::default()];
        // a link that is not open yet has nothing to go on with
        world.ends[0].outgoing.put(&Parcel::message(there[0], Message::info(Pid::NONE, Term::Null)));
        world.run_until(Duration::from_secs(1));
        for _ in 0..12 {
            traffic[0].burst(&mut world, 0, &there);
            if world.random.below(2) == 0 {
                traffic[1].burst(&mut world, 1, &here);
            }
            let pause = Duration::from_micros(world.random.below(60_000));
            let until = world.now + pause;
            world.run_until(until);
            if world.random.below(3) == 0 {
                world.disturb();
                // the other side may be out of reach for a while, shorter than a session lasts
                world.reachable = world.random.below(3) > 0;
                let until = world.now + Duration::from_micros(world.random.below(400_000));
                world.run_until(until);
                world.reachable = true;
                let until = world.now + Duration::from_secs(3);
                world.run_until(until);
            }
        }
        let until = world.now + Duration::from_secs(20);
        world.run_until(until);
        for traffic in &traffic {
            traffic
                .has_arrived(&logs)
                .unwrap_or_else(|error| panic!("seed {seed}: {error}, {:?}", world.reasons));
        }
        assert_eq!(world.ends.each_ref().map(|end| end.losses), [0, 0], "seed {seed}: {:?}", world.reasons);
    }
}

fn count(log: &Log, kind: Kind) -> usize {
    let log = log.lock().unwrap();
    log.iter()
        .filter(|message| message.kind == kind)
        .inspect(|message| {
            let reason = message.down().map_or(&message.payload, |(_, reason)| reason);
            assert!(reason.is("noconnection"), "{reason}");
        })
        .count()
}

#[test]
fn a_cut_for_good_is_told_once_to_each_link_and_monitor_at_both_ends() {
    for seed in 0..RUNS {
        let mut world = World::new(seed, &config());
        let ((a, of_a), (b, of_b)) = (keeper(&world.ends[0]), keeper(&world.ends[1]));
        let mut traffic = Traffic::default();
        world.ends[0].node.link(a, b).unwrap();
        world.ends[0].node.monitor(a, Some(b), None).unwrap();
        world.ends[1].node.monitor(b, Some(a), None).unwrap();
        let cut_at = Duration::from_micros(world.random.below(3_000_000));
        while world.now < cut_at {
            traffic.burst(&mut world, 0, &[b]);
            let until = world.now + Duration::from_micros(world.random.below(300_000));
            world.run_until(until.min(cut_at));
        }
        world.ends[1].node.run_until_idle();
        // the link may not have been set up at the other end by then
        let known = world.ends[1].node.info(b).unwrap().links.contains(&a);
        world.cut_for_good();
        let until = world.now + Duration::from_secs(10);
        world.run_until(until);
        assert_eq!(
            (count(&of_a, Kind::Exit), count(&of_a, Kind::Down)),
            (1, 1),
            "seed {seed}: {:?}",
            world.reasons
        );
        assert_eq!(count(&of_b, Kind::Down), 1, "seed {seed}: {:?}", world.reasons);
        assert_eq!(count(&of_b, Kind::Exit), usize::from(known), "seed {seed}: {:?}", world.reasons);
        assert!(world.ends.iter().all(|end| end.losses >= 1), "seed {seed}: {:?}", world.reasons);
    }
}
