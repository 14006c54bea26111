//! What starts have in common: names, limits, labels, priorities.

use crate::status::bad_argument;
use arsenal_proto::v1;
use arsenal_runtime::limits::MailboxLimit;
use arsenal_runtime::names::check_name;
use arsenal_runtime::{Priority, ProcessName};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tonic::Status;

/// Labels of one process at most.
const LABELS_MAX: usize = 64;
const LABEL_KEY_BYTES_MAX: usize = 63;
const LABEL_VALUE_BYTES_MAX: usize = 255;

pub(crate) type Labels = BTreeMap<Arc<str>, Arc<str>>;

/// A name to register, in its scope; nothing for an empty one.
pub(crate) fn name(name: &str, scope: i32) -> Result<Option<ProcessName>, Status> {
    let global = match v1::name_scope::Scope::try_from(scope) {
        Ok(v1::name_scope::Scope::Global) => true,
        Ok(_) => false,
        Err(_) => {
            return Err(bad_argument(
                "name_scope",
                format!("`name_scope` {scope} is neither LOCAL nor GLOBAL"),
            ));
        }
    };
    if name.is_empty() {
        return Ok(None);
    }
    check_name(name).map_err(|error| bad_argument("name", error.to_string()))?;
    Ok(Some(ProcessName { name: name.into(), global }))
}

/// A priority; nothing where none is given.
pub(crate) fn priority(level: i32) -> Result<Option<Priority>, Status> {
    use v1::priority::Level;
    Ok(match Level::try_from(level) {
        Ok(Level::Unspecified) => None,
        Ok(Level::Low) => Some(Priority::Low),
        Ok(Level::Normal) => Some(Priority::Normal),
        Ok(Level::High) => Some(Priority::High),
        Ok(Level::Max) => Some(Priority::Max),
        Err(_) => return Err(bad_argument("priority", format!("{level} is no priority"))),
    })
}

pub(crate) fn level(priority: Priority) -> i32 {
    use v1::priority::Level;
    let level = match priority {
        Priority::Low => Level::Low,
        Priority::Normal => Level::Normal,
        Priority::High => Level::High,
        Priority::Max => Level::Max,
    };
    level as i32
}

/// Bounds of one process: its mailbox's, and its memory's.
pub(crate) fn limits(
    limits: Option<&v1::ProcessLimits>,
) -> Result<(Option<MailboxLimit>, Option<u64>), Status> {
    let Some(limits) = limits else { return Ok((None, None)) };
    let max = limits.mailbox_messages_max;
    let message = || format!("`limits.mailbox_messages_max` is {max}; it is below 2^32");
    let messages_max =
        u32::try_from(max).map_err(|_| bad_argument("limits.mailbox_messages_max", message()))?;
    let mailbox = MailboxLimit { messages_max, bytes_max: limits.mailbox_bytes_max };
    let bounded = mailbox != MailboxLimit::default();
    Ok((bounded.then_some(mailbox), Some(limits.memory_bytes_max).filter(|max| *max > 0)))
}

/// As [`limits`] reads them.
pub(crate) fn encode_limits(
    mailbox: Option<MailboxLimit>,
    memory_bytes_max: Option<u64>,
) -> v1::ProcessLimits {
    let mailbox = mailbox.unwrap_or_default();
    v1::ProcessLimits {
        mailbox_messages_max: mailbox.messages_max.into(),
        mailbox_bytes_max: mailbox.bytes_max,
        memory_bytes_max: memory_bytes_max.unwrap_or_default(),
    }
}

/// Labels, checked.
pub(crate) fn labels(labels: HashMap<String, String>) -> Result<Labels, Status> {
    if labels.len() > LABELS_MAX {
        let message = format!("`labels` has {} members; {LABELS_MAX} are the most", labels.len());
        return Err(bad_argument("labels", message));
    }
    labels.into_iter().map(|(key, value)| label(&key, &value)).collect()
}

/// One label, checked.
pub(super) fn label(key: &str, value: &str) -> Result<(Arc<str>, Arc<str>), Status> {
    if key.is_empty() || key.len() > LABEL_KEY_BYTES_MAX {
        let message = format!(
            "the label `{key}` has a key of {} bytes; 1 to {LABEL_KEY_BYTES_MAX} are possible",
            key.len()
        );
        return Err(bad_argument("labels", message));
    }
    if value.len() > LABEL_VALUE_BYTES_MAX {
        let message = format!(
            "the label `{key}` has a value of {} bytes; {LABEL_VALUE_BYTES_MAX} are the most",
            value.len()
        );
        return Err(bad_argument("labels", message));
    }
    Ok((key.into(), value.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_beyond_their_bounds_are_refused() {
        let map =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert_eq!(labels(map(&[("tier", "front")])).unwrap().len(), 1);
        assert!(labels(map(&[("", "x")])).is_err());
        assert!(labels(map(&[(&"k".repeat(64), "x")])).is_err());
        assert!(labels(map(&[("k", &"v".repeat(256))])).is_err());
        assert!(labels((0..65).map(|n| (n.to_string(), String::new())).collect()).is_err());
    }
}
