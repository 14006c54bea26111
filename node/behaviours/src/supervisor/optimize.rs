//! Which flags would have served best: the recorded failures replayed against each strategy, intensity and period.
//!
//! A failure that always follows another child's within [`COUPLING`] is taken to be caused by it; where a strategy has
//! by then restarted the follower together with its leader, the replay counts the failure as avoided.

use super::core::ChildState;
use super::history::Failure;
use super::model::{ModelChild, SupervisorModel};
use super::request::FlagChanges;
use super::simulate::{Ending, Simulation, TimedFailure, TimelineEvent};
use super::spec::{Strategy, SupervisorFlags};
use arsenal_runtime::pid::Pid;
use arsenal_runtime::term::Term;
use std::time::Duration;

/// Failures below which nothing is suggested.
pub const FAILURES_MIN: usize = 3;

/// How soon a failure must follow another to count as its consequence.
pub const COUPLING: Duration = Duration::from_secs(1);

/// Children that never failed and still take part in the replay; more would only cost time.
const BYSTANDERS_MAX: usize = 64;

/// Why nothing is suggested.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptimizeError {
    /// Too little has failed.
    #[error("{failures} failures are on record; a suggestion takes {FAILURES_MIN}")]
    InsufficientData {
        /// How many have.
        failures: usize,
    },
}

/// One child's failures follow another's.
#[derive(Clone, Debug, PartialEq)]
pub struct Dependency {
    /// The one that fails first.
    pub leader: Term,
    /// The one that fails then.
    pub follower: Term,
    /// Failures of the follower that came within [`COUPLING`] of the leader's.
    pub followed: usize,
    /// All failures of the follower.
    pub failures: usize,
}

/// How one choice of flags would have done.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The choice.
    pub flags: SupervisorFlags,
    /// The start order that it assumes.
    pub order: Vec<Term>,
    /// Whether it is how the supervisor is now.
    pub current: bool,
    /// Failures answered with a restart.
    pub restarts: usize,
    /// Children restarted though they had not failed.
    pub collateral: usize,
    /// Failures that would not have happened, as their cause was answered by restarting the child too.
    pub avoided: usize,
    /// How often the supervisor would have given up.
    pub escalations: usize,
    /// Its cost; the lowest is suggested.
    pub cost: f64,
}

/// A suggestion and what it rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    /// Every choice that was replayed, best first; the present one is among them. The first is the suggestion.
    pub evaluations: Vec<Evaluation>,
    /// What follows what.
    pub dependencies: Vec<Dependency>,
    /// Failures replayed.
    pub failures: usize,
    /// From the first to the last of them.
    pub span: Duration,
    /// From 0 to 1: how much the sample carries.
    pub confidence: f64,
}

impl Advice {
    /// The choice with the lowest cost.
    pub fn suggested(&self) -> &Evaluation {
        &self.evaluations[0]
    }
}

/// Replays the failures of the last `window`, or all on record, and suggests flags.
///
/// # Errors
/// [`OptimizeError::InsufficientData`] below [`FAILURES_MIN`] failures.
pub fn optimize(model: &SupervisorModel, window: Option<Duration>) -> Result<Advice, OptimizeError> {
    let since = window.map_or(Duration::ZERO, |window| model.now.saturating_sub(window));
    let failures: Vec<Failure> =
        model.history.iter().filter(|failure| failure.at >= since).cloned().collect();
    if failures.len() < FAILURES_MIN {
        return Err(OptimizeError::InsufficientData { failures: failures.len() });
    }
    let dependencies = dependencies(&failures);
    let as_it_is = replayed_model(model, &failures);
    let reordered = ordered(as_it_is.clone(), &failures, &dependencies);
    let replay = Replay { failures: &failures, dependencies: &dependencies };
    let mut evaluations = vec![Evaluation { current: true, ..replay.evaluate(&as_it_is, model.flags) }];
    for flags in candidates(model, &failures) {
        if flags != model.flags {
            evaluations.push(replay.evaluate(&as_it_is, flags));
        }
        // Only there the order decides who restarts with whom.
        if flags.strategy == Strategy::RestForOne && ids(&reordered) != ids(&as_it_is) {
            evaluations.push(replay.evaluate(&reordered, flags));
        }
    }
    evaluations.sort_by(|a, b| a.cost.total_cmp(&b.cost));
    let span = match (failures.first(), failures.last()) {
        (Some(first), Some(last)) => last.at.saturating_sub(first.at),
        _ => Duration::ZERO,
    };
    #[expect(clippy::cast_precision_loss, reason = "at most History::FAILURES_MAX")]
    let sample = failures.len() as f64;
    let confidence = sample / (sample + 5.0);
    Ok(Advice { evaluations, dependencies, failures: failures.len(), span, confidence })
}

fn ids(model: &SupervisorModel) -> Vec<Term> {
    model.children.iter().map(|child| child.spec.id.clone()).collect()
}

/// Who follows whom: every failure of the follower came soon after the leader's, and not the other way round as often.
fn dependencies(failures: &[Failure]) -> Vec<Dependency> {
    const ALWAYS: f64 = 0.95;
    let mut children: Vec<&Term> = Vec::new();
    for failure in failures {
        if !children.contains(&&failure.child) {
            children.push(&failure.child);
        }
    }
    let follows = |leader: &Term, follower: &Term| {
        let of =
            |child: &Term| failures.iter().enumerate().filter(|(_, f)| f.child == *child).collect::<Vec<_>>();
        let (leads, all) = (of(leader), of(follower));
        let soon = |(at, failure): &&(usize, &Failure)| {
            let caused =
                |(lead, leading): &(usize, &Failure)| lead < at && failure.at - leading.at <= COUPLING;
            leads.iter().any(caused)
        };
        (all.iter().filter(soon).count(), all.len())
    };
    #[expect(clippy::cast_precision_loss, reason = "at most History::FAILURES_MAX")]
    let ratio = |(followed, failures): (usize, usize)| followed as f64 / failures as f64;
    let mut found = Vec::new();
    for leader in &children {
        for follower in children.iter().filter(|follower| follower != &leader) {
            let there = follows(leader, follower);
            let (followed, failures) = there;
            if followed >= 2 && ratio(there) >= ALWAYS && ratio(there) > ratio(follows(follower, leader)) {
                let (leader, follower) = ((*leader).clone(), (*follower).clone());
                found.push(Dependency { leader, follower, followed, failures });
            }
        }
    }
    found
}

/// The supervisor with all children up and no restart counted yet.
fn replayed_model(model: &SupervisorModel, failures: &[Failure]) -> SupervisorModel {
    let failed = |id: &Term| failures.iter().any(|failure| failure.child == *id);
    let mut idle = 0;
    let mut children: Vec<ModelChild> = Vec::new();
    let template = model.template.iter().flat_map(|template| {
        // Instances that failed are known by pids that are gone; each of them was started from the template.
        let mut ids: Vec<&Term> = Vec::new();
        for failure in failures {
            if !ids.contains(&&failure.child) {
                ids.push(&failure.child);
            }
        }
        ids.into_iter().map(|id| super::spec::ChildSpec { id: id.clone(), ..template.clone() })
    });
    let own = model.children.iter().filter(|_| model.template.is_none()).map(|child| child.spec.clone());
    for (number, spec) in own.chain(template).enumerate() {
        idle += usize::from(!failed(&spec.id));
        if failed(&spec.id) || idle <= BYSTANDERS_MAX {
            let pid = Pid::new(u32::MAX, 0, number as u64 + 1);
            children.push(ModelChild { spec, state: ChildState::Running(pid), incarnation: 1 });
        }
    }
    let mut flags = model.flags;
    if model.template.is_some() {
        flags.strategy = Strategy::OneForOne;
    }
    SupervisorModel { flags, template: None, children, paused: false, restarts: Vec::new(), ..model.clone() }
}

/// In another order: what never failed first, where nobody's restart touches it; then everyone before those that
/// follow it.
fn ordered(mut model: SupervisorModel, failures: &[Failure], found: &[Dependency]) -> SupervisorModel {
    let mut children = std::mem::take(&mut model.children);
    children.sort_by_key(|child| failures.iter().any(|failure| failure.child == child.spec.id));
    while !children.is_empty() {
        let leads_remain = |child: &ModelChild| {
            found
                .iter()
                .filter(|dependency| dependency.follower == child.spec.id)
                .any(|dependency| children.iter().any(|other| other.spec.id == dependency.leader))
        };
        // In a circle nobody is first; then the present order is as good as any.
        let next = children.iter().position(|child| !leads_remain(child)).unwrap_or(0);
        model.children.push(children.remove(next));
    }
    model
}

/// The choices worth a replay.
fn candidates(model: &SupervisorModel, failures: &[Failure]) -> Vec<SupervisorFlags> {
    let present = model.flags;
    let seconds = Duration::from_secs;
    let busiest = |period: Duration| {
        let within = |start: Duration| {
            failures.iter().filter(|failure| failure.at >= start && failure.at - start <= period).count()
        };
        failures.iter().map(|first| within(first.at)).max().unwrap_or_default()
    };
    let enough = u32::try_from(busiest(present.period)).unwrap_or(u32::MAX);
    let limits = [
        (present.intensity, present.period),
        (1, seconds(5)),
        (3, seconds(5)),
        (5, seconds(10)),
        (10, seconds(60)),
        (enough, present.period),
    ];
    let strategies: &[Strategy] = if model.template.is_some() {
        &[Strategy::SimpleOneForOne]
    } else {
        &[Strategy::OneForOne, Strategy::RestForOne, Strategy::OneForAll]
    };
    let choice = |strategy: &Strategy, (intensity, period): (u32, Duration)| SupervisorFlags {
        strategy: *strategy,
        intensity,
        period,
        ..present
    };
    strategies.iter().flat_map(|strategy| limits.map(|limit| choice(strategy, limit))).collect()
}

struct Replay<'a> {
    failures: &'a [Failure],
    dependencies: &'a [Dependency],
}

impl Replay<'_> {
    fn evaluate(&self, model: &SupervisorModel, flags: SupervisorFlags) -> Evaluation {
        let mut tally = Evaluation {
            flags,
            order: ids(model),
            current: false,
            restarts: 0,
            collateral: 0,
            avoided: 0,
            escalations: 0,
            cost: f64::INFINITY,
        };
        let fresh = || {
            let mut model = model.clone();
            model.flags = flags;
            if flags.strategy == Strategy::SimpleOneForOne {
                model.flags.strategy = Strategy::OneForOne;
            }
            Simulation::new(model, FlagChanges::default()).ok()
        };
        let Some(mut simulation) = fresh() else { return tally };
        let start = self.failures.first().map_or(Duration::ZERO, |failure| failure.at);
        for failure in self.failures {
            let after = failure.at.saturating_sub(start);
            if self.is_avoided(&simulation, failure, after) {
                tally.avoided += 1;
                continue;
            }
            let seen = simulation.entries.len();
            let (child, reason) = (failure.child.clone(), failure.reason.clone());
            simulation.inject(&TimedFailure { after, child, reason, failed_starts: 0 });
            tally.restarts += simulation.count(seen, TimelineEvent::Restarting);
            if simulation.ending == Ending::Running {
                tally.collateral += simulation.count(seen, TimelineEvent::Stopped);
            } else {
                tally.escalations += 1;
                // Its parent starts it anew.
                let Some(again) = fresh() else { return tally };
                simulation = again;
            }
        }
        tally.cost = cost(&tally);
        tally
    }

    /// Whether the child was restarted together with its leader just before.
    fn is_avoided(&self, simulation: &Simulation, failure: &Failure, after: Duration) -> bool {
        self.dependencies.iter().any(|dependency| dependency.follower == failure.child)
            && simulation
                .entries
                .iter()
                .rev()
                .take_while(|entry| after - entry.after <= COUPLING)
                .any(|entry| entry.event == TimelineEvent::Stopped && entry.child == failure.child)
    }
}

/// A failure seen is worth two children restarted needlessly; giving up is worth ten failures; and of two choices that
/// do equally well the stricter is better, since it sees a crash loop earlier.
#[expect(clippy::cast_precision_loss, reason = "at most History::FAILURES_MAX times the children")]
fn cost(tally: &Evaluation) -> f64 {
    let laxity = f64::from(tally.flags.intensity) / tally.flags.period.as_secs_f64();
    tally.restarts as f64
        + 0.5 * tally.collateral as f64
        + 10.0 * tally.escalations as f64
        + 0.001 * laxity.min(100.0)
}

#[cfg(test)]
mod tests;
