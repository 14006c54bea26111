//! In which order who waits for the state is told what becomes of it.

use super::*;
use crate::command::join;
use crate::types::Batch;
use arsenal_runtime::Pid;
use arsenal_runtime::registry;
use openraft::CommittedLeaderId;

fn command() -> Command {
    Command::Registry(registry::Command::ProcessesDown { pids: vec![Pid::new(1, 1, 1)] })
}

fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term, 1), index)
}

/// What one proposal becomes.
fn entry(log_id: LogId, origin: Origin) -> Entry {
    let proposal = Proposal { origin, command: command() };
    let batch = Batch::from_bytes(join([proposal.to_bytes().as_slice()]));
    Entry { log_id, payload: EntryPayload::Normal(batch) }
}

/// The index, whenever an observer is told of something.
fn index_when_told(view: &Arc<View>) -> Arc<Mutex<Vec<u64>>> {
    let seen: Arc<Mutex<Vec<u64>>> = Arc::default();
    let (watched, noted) = (Arc::downgrade(view), Arc::clone(&seen));
    view.observe(Arc::new(move |_| noted.lock().extend(watched.upgrade().map(|view| view.index()))));
    seen
}

#[test]
fn an_index_is_told_only_once_its_proposer_has_the_outcome() {
    let view = View::new(1);
    let mut expected = view.expect(7);
    let seen = index_when_told(&view);
    view.apply([entry(log_id(1, 5), expected.origin)]).unwrap();
    assert_eq!(*seen.lock(), [0], "while proposers are told, the index is the one before");
    assert_eq!(view.index(), 5);
    assert!(expected.outcome.try_recv().is_ok());
}

#[test]
fn observers_are_told_of_a_state_that_was_replaced_before_its_index_is_known() {
    let view = View::new(1);
    let seen = index_when_told(&view);
    let meta = SnapshotMeta { last_log_id: Some(log_id(1, 5)), ..SnapshotMeta::default() };
    view.replace(&meta, State::default());
    assert_eq!(*seen.lock(), [0]);
    assert_eq!(view.index(), 5);
}

#[test]
fn a_proposal_that_nobody_follows_any_more_is_forgotten() {
    let view = View::new(1);
    let (kept, dropped) = (view.expect(7), view.expect(8));
    drop(dropped);
    assert_eq!(view.waiting.lock().keys().copied().collect::<Vec<_>>(), [7]);
    drop(kept);
}

#[test]
fn what_two_tasks_apply_is_told_in_order_and_the_index_never_goes_back() {
    let view = View::new(1);
    let told: Arc<Mutex<Vec<u64>>> = Arc::default();
    let (watched, noted) = (Arc::downgrade(&view), Arc::clone(&told));
    // what is told of an entry is told before the next is applied, whoever applies it
    view.observe(Arc::new(move |_| {
        noted.lock().extend(watched.upgrade().and_then(|view| view.last()).map(|last| last.index));
    }));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for index in 1..=500 {
                    let origin = Origin { life: 2, serial: index };
                    view.apply([entry(log_id(1, index), origin)]).unwrap();
                    assert!(view.index() >= index);
                }
            });
        }
    });
    assert_eq!(*told.lock(), (1..=500).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_term_is_reached_with_its_first_entry_and_not_before() {
    let view = View::new(1);
    let (waiting, origin) = (Arc::clone(&view), Origin { life: 2, serial: 1 });
    let mut reached = std::pin::pin!(waiting.reach_term(3));
    view.apply([entry(log_id(2, 1), origin)]).unwrap();
    assert!(futures_util::poll!(&mut reached).is_pending());
    view.apply([entry(log_id(4, 2), origin)]).unwrap();
    reached.await;
}
