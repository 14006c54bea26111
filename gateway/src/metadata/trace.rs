//! The W3C trace context of a request: passed on as it came, or not at all.
//!
//! A `traceparent` that is none names no trace, and its `tracestate` is that of no other (Trace Context, 4.3).

use http::{HeaderMap, HeaderName};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Removes a context that cannot be read.
pub(super) fn remove_malformed(metadata: &mut HeaderMap) {
    let mut told = metadata.get_all(TRACEPARENT).into_iter();
    let Some(first) = told.next() else { return };
    if told.next().is_some() || !is_traceparent(first.as_bytes()) {
        metadata.remove(TRACEPARENT);
        metadata.remove(TRACESTATE);
    }
}

/// `version-trace-parent-flags`, each in hexadecimal digits. A version to come may have more behind them.
fn is_traceparent(text: &[u8]) -> bool {
    const LENGTH: usize = 55;
    let Some((known, more)) = text.split_at_checked(LENGTH) else { return false };
    let digits = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let id = |part: &[u8]| digits(part) && part.iter().any(|byte| *byte != b'0');
    let [version, trace, parent, flags] = [&known[..2], &known[3..35], &known[36..52], &known[53..]];
    let parted = [2, 35, 52].into_iter().all(|dash| known[dash] == b'-');
    let fits = match version {
        b"00" => more.is_empty(),
        b"ff" => false,
        _ => more.first().is_none_or(|next| *next == b'-'),
    };
    fits && parted && digits(version) && id(trace) && id(parent) && digits(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(told: &[&'static str]) -> usize {
        let mut metadata = HeaderMap::new();
        for told in told {
            metadata.append(TRACEPARENT, http::HeaderValue::from_static(told));
        }
        metadata.insert(TRACESTATE, http::HeaderValue::from_static("a=b"));
        remove_malformed(&mut metadata);
        metadata.len()
    }

    #[test]
    fn a_trace_that_cannot_be_read_is_not_passed_on_nor_its_state() {
        const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        for good in [GOOD, "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"] {
            assert_eq!(left(&[good]), 2, "{good}");
        }
        for bad in [
            "garbage",
            "",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331_01",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(left(&[bad]), 0, "{bad}");
        }
        assert_eq!(left(&[GOOD, GOOD]), 0, "of two nobody knows which");
        assert_eq!(left(&[]), 1, "a state alone is the service's to judge");
    }
}
