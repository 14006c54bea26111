//! openraft's own storage suite on a real directory, and what a log makes of every kind of broken file.

use super::journal::Journal;
use super::record::{Record, Recovered};
use super::{JournalError, Log, Writer};
use crate::disk::{Directory, Disk};
use crate::machine::Machine;
use crate::simulation::disk::MemoryDisk;
use crate::simulation::world::World;
use crate::snapshot::Snapshots;
use crate::types::{Batch, Entry, LogId, StorageError, Types, Vote};
use crate::view::View;
use crate::watchdog::Pulse;
use openraft::EntryPayload;
use openraft::testing::{StoreBuilder, Suite, log_id};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

async fn stores(disk: Arc<dyn Disk>, segment_bytes_max: usize) -> (Log, Machine) {
    let pulse = Pulse::new("a test's write");
    let (journal, recovered) = Journal::open(Arc::clone(&disk), segment_bytes_max).unwrap();
    // the suite cuts the log without a snapshot
    let kept = tokio::sync::watch::Sender::new(Ok(u64::MAX)).subscribe();
    let writing = Arc::new(tokio::sync::Mutex::default()).lock_owned().await;
    let log = Log::new(recovered, Writer::start(journal, Arc::clone(&pulse), writing).unwrap(), kept);
    let opened = Machine::open(View::new(1), Snapshots::new(disk, pulse)).await;
    (log, opened.unwrap().0)
}

struct InDirectory;

impl StoreBuilder<Types, Log, Machine, TempDir> for InDirectory {
    async fn build(&self) -> Result<(TempDir, Log, Machine), StorageError> {
        let directory = tempfile::tempdir().unwrap();
        let (log, machine) = stores(Arc::new(Directory::open(directory.path()).unwrap()), 1 << 20).await;
        Ok((directory, log, machine))
    }
}

struct InMemory;

impl StoreBuilder<Types, Log, Machine> for InMemory {
    async fn build(&self) -> Result<((), Log, Machine), StorageError> {
        let disk = MemoryDisk::new(&World::new(1));
        disk.set_faults(|faults| faults.slowest = Duration::ZERO);
        // a segment for every few entries
        let (log, machine) = stores(Arc::new(disk), 200).await;
        Ok(((), log, machine))
    }
}

#[test]
fn the_storage_suite_of_openraft_passes_on_a_directory() {
    Suite::test_all(InDirectory).unwrap();
}

#[test]
fn the_storage_suite_of_openraft_passes_across_many_segments() {
    Suite::test_all(InMemory).unwrap();
}

fn entry(term: u64, index: u64) -> Entry {
    let batch = Batch::from_bytes(vec![index as u8; 20].into());
    Entry { log_id: log_id(term, 1, index), payload: EntryPayload::Normal(batch) }
}

fn open(disk: &MemoryDisk, segment_bytes_max: usize) -> Result<(Journal, Recovered), JournalError> {
    Journal::open(Arc::new(disk.clone()), segment_bytes_max)
}

fn names(disk: &MemoryDisk) -> Vec<String> {
    disk.list().unwrap()
}

/// What a run of a voter asks of its log, checked against a model of what it must find again.
#[derive(Clone, Debug)]
enum Step {
    Append(u64),
    Truncate(u64),
    Purge(u64),
    Vote,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1u64..4).prop_map(Step::Append),
        1 => (0u64..3).prop_map(Step::Truncate),
        1 => (0u64..6).prop_map(Step::Purge),
        1 => Just(Step::Vote),
        2 => Just(Step::Crash),
    ]
}

fn records_of(step: &Step, model: &Recovered, term: u64) -> Vec<Record> {
    let last = model.entries.back().map(|entry| entry.log_id).or(model.purged);
    let last_index = last.map_or(0, |last| last.index);
    match step {
        Step::Append(count) => {
            (1..=*count).map(|place| Record::Entry(entry(term, last_index + place))).collect()
        }
        Step::Truncate(back) => {
            let first = model.purged.map_or(1, |purged| purged.index + 1);
            vec![Record::Truncate(last_index.saturating_sub(*back).max(first))]
        }
        Step::Purge(count) => {
            let upto: Option<LogId> = model.entries.iter().take(*count as usize).last().map(|e| e.log_id);
            upto.map(Record::Purge).into_iter().collect()
        }
        Step::Vote => vec![Record::Vote(Vote::new(term, 1))],
        Step::Crash => Vec::new(),
    }
}

proptest! {
    #[test]
    fn what_was_synced_is_found_again_after_any_crash(
        seed in any::<u64>(),
        segment_bytes_max in 60usize..400,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let disk = MemoryDisk::new(&World::new(seed));
        let (mut journal, mut model) = open(&disk, segment_bytes_max).unwrap();
        for (place, step) in steps.iter().enumerate() {
            let records = records_of(step, &model, place as u64 + 1);
            if !records.is_empty() {
                journal.write(&records).unwrap();
                journal.sync().unwrap();
                journal.remove_purged().unwrap();
                for record in records {
                    model.follow(record);
                }
            }
            if matches!(step, Step::Crash) {
                // a write that is not synced may be there or not, and is not missed
                journal.write(&[Record::Vote(Vote::new(place as u64 + 1, 1))]).unwrap();
                disk.crash();
                let found;
                (journal, found) = open(&disk, segment_bytes_max).unwrap();
                prop_assert_eq!(&found.entries, &model.entries);
                prop_assert_eq!(found.purged, model.purged);
                prop_assert!(found.vote >= model.vote);
                model.vote = found.vote;
            }
        }
    }

    #[test]
    fn a_flipped_byte_before_the_last_frame_is_never_read_as_a_shorter_log(at in 0usize..400) {
        let disk = MemoryDisk::new(&World::new(1));
        let (mut journal, _) = open(&disk, 100).unwrap();
        for index in 1..=8 {
            journal.write(&[Record::Entry(entry(1, index))]).unwrap();
            journal.sync().unwrap();
        }
        let files = names(&disk);
        let mut left = at;
        let place = files.iter().find_map(|name| {
            let length = disk.read(name).unwrap().len();
            let found = (left < length).then_some((name.clone(), left));
            left = left.saturating_sub(length);
            found
        });
        let Some((name, byte)) = place else { return Ok(()) };
        disk.flip(&name, byte);
        match open(&disk, 100) {
            Err(JournalError::Damaged { .. } | JournalError::Version { .. }) => {}
            Ok((_, found)) => {
                prop_assert_eq!(Some(&name), files.last(), "damage went unseen in an old segment");
                prop_assert!(found.entries.len() >= 7, "{} entries left", found.entries.len());
            }
            Err(error) => prop_assert!(false, "{error}"),
        }
    }
}

#[test]
fn a_torn_end_is_cut_off_and_the_log_goes_on() {
    let disk = MemoryDisk::new(&World::new(1));
    let (mut journal, _) = open(&disk, 1 << 20).unwrap();
    journal.write(&[Record::Entry(entry(1, 1))]).unwrap();
    journal.sync().unwrap();
    let file = names(&disk).pop().unwrap();
    disk.append(&file, b"frm\x01 and then the power went").unwrap();
    let (mut journal, found) = open(&disk, 1 << 20).unwrap();
    assert_eq!(found.entries.len(), 1);
    journal.write(&[Record::Entry(entry(1, 2))]).unwrap();
    let (_, found) = open(&disk, 1 << 20).unwrap();
    assert_eq!(found.entries.len(), 2);
}

#[test]
fn a_log_of_another_format_is_refused_by_both_versions() {
    let disk = MemoryDisk::new(&World::new(1));
    let mut header = b"ARSNRAFT".to_vec();
    header.extend_from_slice(&9u32.to_le_bytes());
    header.extend_from_slice(&1u64.to_le_bytes());
    header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
    disk.append("log-0000000000000001.raft", &header).unwrap();
    let error = open(&disk, 100).err().unwrap().to_string();
    assert!(error.contains("version 9") && error.contains("reads 1"), "{error}");
}

#[test]
fn purged_segments_are_removed_and_the_vote_stays() {
    let disk = MemoryDisk::new(&World::new(1));
    let (mut journal, _) = open(&disk, 100).unwrap();
    journal.write(&[Record::Vote(Vote::new(7, 1))]).unwrap();
    for index in 1..=50 {
        journal.write(&[Record::Entry(entry(7, index))]).unwrap();
    }
    let before = names(&disk).len();
    journal.write(&[Record::Purge(log_id(7, 1, 49))]).unwrap();
    journal.remove_purged().unwrap();
    assert!(names(&disk).len() <= 2 && before > 10, "{before} files, then {:?}", names(&disk));
    let (_, found) = open(&disk, 100).unwrap();
    assert_eq!((found.vote, found.entries.len()), (Some(Vote::new(7, 1)), 1));
}

#[test]
fn a_lost_segment_is_not_taken_for_a_young_log() {
    let disk = MemoryDisk::new(&World::new(1));
    let (mut journal, _) = open(&disk, 100).unwrap();
    for index in 1..=8 {
        journal.write(&[Record::Entry(entry(1, index))]).unwrap();
        journal.sync().unwrap();
    }
    disk.remove(&names(&disk)[0]).unwrap();
    assert!(matches!(open(&disk, 100), Err(JournalError::Damaged { .. })));
}
