//! Global names are linearizable under kills, pauses, partitions, restarts and failing disks: hundreds of histories, each
//! from a seed, held against a model. Two planted bugs show that the histories are hard enough and the checker awake.
//!
//! `ARSENAL_SEEDS=5000` runs as many more, beginning at a place of its own each time; without it a run is the same as the one
//! before.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod checker;
mod cross_check;
mod model;
mod run;

use run::{Bug, run};
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

const CHAOS: Duration = Duration::from_secs(8);

/// Fixed seeds, and as many that are new each time as are asked for: a failure names its seed.
fn seeds(fixed: u64) -> impl Iterator<Item = u64> {
    let more = std::env::var("ARSENAL_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(0);
    let start = RandomState::new().hash_one(fixed) >> 1;
    (0..fixed).chain(start..start + more)
}

fn all_are_linearizable(voters: u64, views: u64, fixed: u64) {
    let mut operations = 0;
    for seed in seeds(fixed) {
        let (problems, count) = run(seed, (voters, views), CHAOS, Bug::None);
        assert!(
            problems.is_empty(),
            "seed {seed} with {voters} voters and {views} views: {}",
            problems.join("; ")
        );
        operations += count;
    }
    assert!(operations as u64 > fixed * 100, "{operations} operations are too few to show anything");
}

#[test]
fn names_on_three_voters_are_linearizable_whatever_happens() {
    all_are_linearizable(3, 0, 150);
}

#[test]
fn names_on_five_voters_are_linearizable_whatever_happens() {
    all_are_linearizable(5, 0, 60);
}

#[test]
fn names_asked_for_from_views_are_as_linearizable_as_from_voters() {
    all_are_linearizable(3, 2, 100);
}

/// Runs in which a planted bug has to show; which of them it is differs from build to build.
const PLANTED_SEEDS_MAX: u64 = 400;

#[test]
fn a_read_without_a_quorum_is_caught() {
    let caught = (0..PLANTED_SEEDS_MAX).find(|seed| {
        let (problems, _) = run(*seed, (3, 0), CHAOS, Bug::UncheckedRead);
        problems.iter().any(|problem| problem.contains("not linearizable"))
    });
    assert!(caught.is_some());
}

#[test]
fn a_lost_sync_is_caught() {
    let caught = (0..PLANTED_SEEDS_MAX).find(|seed| {
        let (problems, _) = run(*seed, (3, 0), CHAOS, Bug::LostSync);
        problems.iter().any(|problem| problem.contains("not linearizable"))
    });
    assert!(caught.is_some());
}

#[test]
fn a_run_under_trouble_is_the_same_run_again() {
    for (seed, views) in (0..12).flat_map(|seed| (0..3).map(move |views| (seed, views))) {
        let again = || run(seed, (3, views), CHAOS, Bug::None);
        let (first, second) = (again(), again());
        assert_eq!(first, second, "seed {seed} with {views} views");
        assert!(first.0.is_empty() && first.1 > 0, "seed {seed} with {views} views: {first:?}");
    }
}
