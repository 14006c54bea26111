//! The texts of enums, functions, handlers and times.

use arsenal_runtime::info::{Header, Status};
use arsenal_runtime::{Behaviour, Priority, ProcessKind, Term};
use std::time::{SystemTime, UNIX_EPOCH};

/// The contract's name of where the code lives.
pub(super) fn kind(header: &Header) -> &'static str {
    match header.code.kind {
        _ if header.session => "SESSION",
        ProcessKind::Native => "NATIVE",
        ProcessKind::Guest => "GUEST",
        ProcessKind::External => "EXTERNAL",
        ProcessKind::Session => "SESSION",
    }
}

/// The contract's name of a behaviour.
pub(super) fn behaviour(behaviour: Behaviour) -> &'static str {
    match behaviour {
        Behaviour::Plain => "PLAIN",
        Behaviour::GenServer => "GEN_SERVER",
        Behaviour::GenStatem => "GEN_STATEM",
        Behaviour::GenEvent => "GEN_EVENT",
        Behaviour::Supervisor => "SUPERVISOR",
    }
}

/// The contract's name of what a process does.
pub(super) fn status(status: Status) -> &'static str {
    match status {
        Status::Waiting => "WAITING",
        Status::Runnable => "RUNNABLE",
        Status::Running => "RUNNING",
        Status::Suspended => "SUSPENDED",
        Status::Blocked => "BLOCKED",
        Status::Exited => "EXITING",
    }
}

/// The contract's name of a priority.
pub(super) fn priority(priority: Priority) -> &'static str {
    match priority {
        Priority::Low => "LOW",
        Priority::Normal => "NORMAL",
        Priority::High => "HIGH",
        Priority::Max => "MAX",
    }
}

/// What a process was started with, `module:function/arity`.
pub(super) fn initial_call(header: &Header) -> String {
    let function = if header.code.behaviour == Behaviour::Plain { "start" } else { "init" };
    format!("{}:{function}/1", header.code.name)
}

/// What a process waits in whose body is in mid turn or says nothing of itself.
pub(super) fn loop_of(header: &Header) -> String {
    match header.code.behaviour {
        Behaviour::Plain => format!("{}:loop", header.code.name),
        behaviour => format!("{}:loop", behaviour.as_str()),
    }
}

/// `module:function` of a frame, which native code gives as a path.
pub(super) fn function(frame: &str) -> String {
    match frame.rsplit_once("::") {
        Some((module, function)) => format!("{module}:{function}"),
        None => frame.to_owned(),
    }
}

/// The id of an event handler: its own, else its module's name.
pub(super) fn handler(handler: &Term) -> String {
    let id = match handler.as_list() {
        Some([_, id]) => id,
        _ => handler,
    };
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

/// What a process can do beyond handling messages.
pub(super) fn hooks(header: &Header) -> Vec<&'static str> {
    let hooks = header.code.hooks;
    let has = [
        ("inspect", hooks.inspect),
        ("replace", hooks.replace),
        ("snapshot", hooks.snapshot),
        ("restore", hooks.snapshot),
        ("terminate", header.code.behaviour != Behaviour::Plain),
    ];
    has.into_iter().filter_map(|(hook, has)| has.then_some(hook)).collect()
}

/// A time as RFC 3339 in UTC with nine decimals: texts of one length that sort as the times do.
pub fn rfc3339(time: SystemTime) -> String {
    const DAY: u64 = 86_400;
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / DAY, since.as_secs() % DAY);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:09}Z", since.subsec_nanos())
}

/// Year, month and day of a day counted from 1970-01-01: Howard Hinnant's `civil_from_days`, for days after that.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_time_is_the_day_and_second_that_the_calendar_says() {
        let at = |seconds, nanos| rfc3339(UNIX_EPOCH + Duration::new(seconds, nanos));
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(at(951_782_400, 1), "2000-02-29T00:00:00.000000001Z");
        assert_eq!(at(1_709_251_199, 0), "2024-02-29T23:59:59.000000000Z");
        assert_eq!(at(4_102_444_799, 999_999_999), "2099-12-31T23:59:59.999999999Z");
    }

    #[test]
    fn a_handler_goes_by_its_id_and_without_one_by_its_module() {
        assert_eq!(handler(&"log".into()), "log");
        assert_eq!(handler(&Term::tagged("log", Term::Int(7))), "7");
    }

    #[test]
    fn a_frame_is_a_function_of_a_module() {
        assert_eq!(function("busy::spin"), "busy:spin");
        assert_eq!(function("a::b::Counter::handle_call"), "a::b::Counter:handle_call");
        assert_eq!(function("loop"), "loop");
    }
}
