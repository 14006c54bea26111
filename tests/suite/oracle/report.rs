//! What a run of the scenarios came to, in words.

use super::Verdict;
use super::compare::Difference;
use super::scenario::{Deviation, Scenario};
use std::collections::BTreeMap;
use std::io::Write as _;

/// Counts and names.
#[derive(Default)]
pub(super) struct Report<'a> {
    /// Scenarios that are as they should be, and all that ran, by topic.
    topics: BTreeMap<&'a str, (usize, usize)>,
    passed: usize,
    failed: Vec<&'a str>,
    /// How many were not run, or not to their end, by the reason.
    skipped: BTreeMap<&'static str, usize>,
    /// Scenarios by the operation that is not offered.
    unsupported: BTreeMap<&'a str, Vec<&'a str>>,
}

/// Whether a scenario that was run is as it should be.
pub(super) fn is_good(verdict: &Verdict, deviation: Option<&Deviation>) -> bool {
    match (verdict, deviation) {
        (Verdict::Skipped(_), _) | (Verdict::Agrees, None) | (Verdict::Unsupported(_), Some(_)) => true,
        (Verdict::Differs(differences), Some(deviation)) => deviation.explains(differences),
        (Verdict::Agrees, Some(_)) | (Verdict::Differs(_) | Verdict::Unsupported(_), None) => false,
    }
}

impl<'a> Report<'a> {
    /// Counts a scenario, and says what differs.
    pub(super) fn add(
        &mut self,
        scenario: &'a Scenario,
        verdict: &'a Verdict,
        deviation: Option<&Deviation>,
    ) {
        let name = &scenario.name;
        match (verdict, deviation) {
            (Verdict::Skipped(why), _) => return *self.skipped.entry(why).or_default() += 1,
            (Verdict::Unsupported(operations), _) => {
                for operation in operations {
                    self.unsupported.entry(operation).or_default().push(name);
                }
                if deviation.is_some() {
                    return *self.skipped.entry("have a step that is not offered yet").or_default() += 1;
                }
            }
            (Verdict::Agrees, None) => {}
            (Verdict::Agrees, Some(Deviation { reason, .. })) => {
                println!("AGREES   {name}, which is said to deviate: {reason}");
            }
            (Verdict::Differs(differences), Some(deviation)) if deviation.explains(differences) => {
                println!("DEVIATES {name}: {}", deviation.reason);
            }
            (Verdict::Differs(differences), _) => {
                let places: Vec<String> = differences.iter().map(Difference::to_string).collect();
                println!("DIFFERS  {name}\n    {}", places.join("\n    "));
            }
        }
        let topic = self.topics.entry(&scenario.topic).or_default();
        topic.1 += 1;
        if is_good(verdict, deviation) {
            topic.0 += 1;
            self.passed += 1;
        } else {
            self.failed.push(name);
        }
    }

    /// Names of the scenarios that failed.
    pub(super) fn failed(&self) -> &[&'a str] {
        &self.failed
    }

    /// Prints what is not offered, each topic, and the closing line.
    pub(super) fn print(&self) {
        for (operation, scenarios) in &self.unsupported {
            println!("UNSUPPORTED {operation} ({} steps): {}", scenarios.len(), scenarios.join(", "));
        }
        for (topic, (good, all)) in &self.topics {
            println!("{topic:24} {good} / {all}");
        }
        let skips: Vec<String> = self.skipped.iter().map(|(why, count)| format!("{count} {why}")).collect();
        let skipped: usize = self.skipped.values().sum();
        let (passed, failed) = (self.passed, self.failed.len());
        let unsupported: Vec<&str> = self.unsupported.keys().copied().collect();
        let unsupported = if unsupported.is_empty() { "none".to_owned() } else { unsupported.join(", ") };
        // past the capture of a test's output: this is what one wants to see of a run that went well
        let closing = format!(
            "oracle: skipped: {}; operations not offered: {unsupported}\n{passed} passed, {failed} failed, {skipped} skipped\n",
            skips.join(", ")
        );
        std::io::stderr().write_all(closing.as_bytes()).unwrap();
    }
}
