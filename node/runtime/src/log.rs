//! What processes say in the node's log: lines of their code ([`Context::log`]), and a report of each crash.
//!
//! Invariants: a line carries who says it, its module and its group leader, which is what tells the output of one tree
//! from another's; and no crowd of processes floods the log, which is written on the schedulers' threads: what is more
//! than [`LINES_PER_SECOND_MAX`] is withheld, and the next line says how many were.

use crate::context::Context;
use crate::node::Node;
use crate::pid::Pid;
use crate::process::Process;
use parking_lot::Mutex;

/// Lines of processes that a node logs in a second.
pub const LINES_PER_SECOND_MAX: u32 = 500;

/// How grave a line is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogLevel {
    /// For whoever works on the code.
    Debug,
    /// For the record.
    Info,
    /// Something may be wrong.
    Warning,
    /// Something is wrong.
    Error,
}

/// How many lines the current second has had.
#[derive(Debug, Default)]
pub(crate) struct Budget(Mutex<Second>);

#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Second {
    number: u64,
    lines: u32,
    withheld: u64,
}

impl Second {
    /// A line is to be logged at `now_ns`: how many were withheld since the last one, or nothing where this one is too.
    fn take(&mut self, now_ns: u64) -> Option<u64> {
        let number = now_ns / 1_000_000_000;
        if number != self.number {
            (self.number, self.lines) = (number, 0);
        }
        if self.lines == LINES_PER_SECOND_MAX {
            self.withheld += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.withheld))
    }
}

/// Whose line it is.
pub(crate) struct Speaker<'a> {
    pub(crate) process: &'a Process,
    pub(crate) group_leader: Pid,
}

impl Node {
    #[cold]
    pub(crate) fn log_line(&self, level: LogLevel, speaker: &Speaker<'_>, text: &str) {
        let Some(withheld) = self.log_budget().0.lock().take(self.now_ns()) else { return };
        if withheld > 0 {
            tracing::warn!(node = %self.name(), withheld, "more lines of processes than a second may have");
        }
        let (process, group_leader) = (speaker.process.pid, speaker.group_leader);
        let module = &*speaker.process.code.description.name;
        // the level of an event is part of its place in the code
        match level {
            LogLevel::Debug => tracing::debug!(%process, %group_leader, module, "{text}"),
            LogLevel::Info => tracing::info!(%process, %group_leader, module, "{text}"),
            LogLevel::Warning => tracing::warn!(%process, %group_leader, module, "{text}"),
            LogLevel::Error => tracing::error!(%process, %group_leader, module, "{text}"),
        }
    }

    /// Logs that a process has crashed, in one line.
    pub(crate) fn log_crash(&self, speaker: &Speaker<'_>, report: &str) {
        if tracing::event_enabled!(tracing::Level::ERROR) {
            self.log_line(LogLevel::Error, speaker, &report.replace('\n', "; "));
        }
    }
}

impl Context<'_> {
    /// Writes a line to the node's log, tagged with this process, its module and its group leader. Beyond
    /// [`LINES_PER_SECOND_MAX`] of all processes of the node it is withheld.
    pub fn log(&self, level: LogLevel, text: &str) {
        let own = self.process.core.lock().extras().and_then(|extras| extras.group_leader);
        let group_leader = self.process.group_leader(own);
        self.node.log_line(level, &Speaker { process: self.process, group_leader }, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_so_many_lines_and_the_first_of_the_next_says_how_many_it_withheld() {
        let mut second = Second::default();
        let taken = (0..LINES_PER_SECOND_MAX + 3).filter(|_| second.take(5) == Some(0)).count();
        assert_eq!(taken, LINES_PER_SECOND_MAX as usize);
        assert_eq!(second.take(999_999_999), None);
        assert_eq!(second.take(1_000_000_000), Some(4));
        assert_eq!(second.take(1_000_000_001), Some(0));
    }
}
