//! Deadlines as headers tell them: a client's, and the one that a call carries on.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::once;
use crate::failure::{Failure, Reason};

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const REQUEST_TIMEOUT: HeaderName = HeaderName::from_static("request-timeout");
const SERVER_TIMEOUT: HeaderName = HeaderName::from_static("x-server-timeout");

/// The deadline that the client asks for, by `grpc-timeout` (gRPC's form), `request-timeout` or `x-server-timeout`
/// (seconds).
pub fn timeout(headers: &HeaderMap, domain: &str) -> Result<Option<Duration>, Failure> {
    let readers: [(HeaderName, Reader); 3] =
        [(GRPC_TIMEOUT, grpc_timeout), (REQUEST_TIMEOUT, seconds), (SERVER_TIMEOUT, seconds)];
    for (name, read) in readers {
        let Some(value) = headers.get(&name) else { continue };
        let timeout = value.to_str().ok().and_then(read);
        let message =
            || format!("header `{name}`: `{}` is no timeout", String::from_utf8_lossy(value.as_bytes()));
        return timeout.map(Some).ok_or_else(|| Failure::new(Reason::InvalidHeader, domain, message()));
    }
    Ok(None)
}

/// The deadline that a call carries already.
pub(crate) fn grpc_deadline(metadata: &HeaderMap) -> Option<Duration> {
    metadata.get(GRPC_TIMEOUT)?.to_str().ok().and_then(grpc_timeout)
}

/// How the text of a timeout is read.
type Reader = fn(&str) -> Option<Duration>;

fn seconds(text: &str) -> Option<Duration> {
    text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

/// gRPC has at most eight digits. Nanoseconds may have more here: below them there is no unit that a client could have
/// taken for a tenth of a second with all its digits.
fn grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let digits_max = if unit == "n" { 18 } else { 8 };
    if !(1..=digits_max).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        "H" => value.checked_mul(3600).map(Duration::from_secs),
        "M" => value.checked_mul(60).map(Duration::from_secs),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

/// gRPC's form of a deadline: at most eight digits, in the finest unit that they suffice for.
pub fn put_timeout(metadata: &mut HeaderMap, timeout: Duration) {
    const DIGITS: u128 = 100_000_000;
    let units = [
        (1, 'n'),
        (1_000, 'u'),
        (1_000_000, 'm'),
        (1_000_000_000, 'S'),
        (60_000_000_000, 'M'),
        (3_600_000_000_000, 'H'),
    ];
    let nanos = timeout.as_nanos();
    let fitting = units.into_iter().find(|(unit, _)| nanos / unit < DIGITS);
    if let Some((unit, letter)) = fitting
        && let Ok(value) = HeaderValue::from_str(&format!("{}{letter}", nanos / unit))
    {
        metadata.insert(GRPC_TIMEOUT, once(value));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_deadline_reads_back_within_its_unit(nanos in 0u64..u64::MAX / 2) {
            let timeout = Duration::from_nanos(nanos);
            let mut metadata = HeaderMap::new();
            put_timeout(&mut metadata, timeout);
            let back = super::timeout(&metadata, "test").unwrap().unwrap();
            prop_assert!(back <= timeout);
            // eight digits, of which a change of unit may leave five
            prop_assert!(timeout.as_nanos() - back.as_nanos() <= timeout.as_nanos() / 100_000 + 1);
        }
    }
}
