//! gRPC's status codes and what they are in HTTP (google/rpc/code.proto).

use http::StatusCode;

/// A gRPC status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Code {
    /// Success.
    Ok = 0,
    /// The caller gave up.
    Cancelled = 1,
    /// No one knows.
    Unknown = 2,
    /// The request is wrong whatever the state.
    InvalidArgument = 3,
    /// Too late.
    DeadlineExceeded = 4,
    /// It is not there.
    NotFound = 5,
    /// It is there already.
    AlreadyExists = 6,
    /// The caller may not.
    PermissionDenied = 7,
    /// A quota or limit is used up.
    ResourceExhausted = 8,
    /// The request does not fit the state.
    FailedPrecondition = 9,
    /// A conflict with another operation.
    Aborted = 10,
    /// Past the end.
    OutOfRange = 11,
    /// Not offered.
    Unimplemented = 12,
    /// An invariant is broken.
    Internal = 13,
    /// Not now.
    Unavailable = 14,
    /// Data is gone.
    DataLoss = 15,
    /// The caller is unknown.
    Unauthenticated = 16,
}

const ALL: [(Code, &str, StatusCode); 17] = [
    (Code::Ok, "OK", StatusCode::OK),
    (Code::Cancelled, "CANCELLED", CLIENT_CLOSED_REQUEST),
    (Code::Unknown, "UNKNOWN", StatusCode::INTERNAL_SERVER_ERROR),
    (Code::InvalidArgument, "INVALID_ARGUMENT", StatusCode::BAD_REQUEST),
    (Code::DeadlineExceeded, "DEADLINE_EXCEEDED", StatusCode::GATEWAY_TIMEOUT),
    (Code::NotFound, "NOT_FOUND", StatusCode::NOT_FOUND),
    (Code::AlreadyExists, "ALREADY_EXISTS", StatusCode::CONFLICT),
    (Code::PermissionDenied, "PERMISSION_DENIED", StatusCode::FORBIDDEN),
    (Code::ResourceExhausted, "RESOURCE_EXHAUSTED", StatusCode::TOO_MANY_REQUESTS),
    (Code::FailedPrecondition, "FAILED_PRECONDITION", StatusCode::BAD_REQUEST),
    (Code::Aborted, "ABORTED", StatusCode::CONFLICT),
    (Code::OutOfRange, "OUT_OF_RANGE", StatusCode::BAD_REQUEST),
    (Code::Unimplemented, "UNIMPLEMENTED", StatusCode::NOT_IMPLEMENTED),
    (Code::Internal, "INTERNAL", StatusCode::INTERNAL_SERVER_ERROR),
    (Code::Unavailable, "UNAVAILABLE", StatusCode::SERVICE_UNAVAILABLE),
    (Code::DataLoss, "DATA_LOSS", StatusCode::INTERNAL_SERVER_ERROR),
    (Code::Unauthenticated, "UNAUTHENTICATED", StatusCode::UNAUTHORIZED),
];

/// 499, which has no name in the registry.
const CLIENT_CLOSED_REQUEST: StatusCode = match StatusCode::from_u16(499) {
    Ok(status) => status,
    Err(_) => StatusCode::BAD_REQUEST,
};

impl Code {
    /// The code of a number; one that gRPC does not define is unknown.
    pub fn from_number(number: i64) -> Self {
        let index = usize::try_from(number).ok();
        index.and_then(|index| ALL.get(index)).map_or(Code::Unknown, |(code, ..)| *code)
    }

    /// Its number.
    pub fn number(self) -> i32 {
        i32::from(self as u8)
    }

    /// Its name in capitals, such as `NOT_FOUND`.
    pub fn name(self) -> &'static str {
        ALL[self as usize].1
    }

    /// The HTTP status that it becomes.
    pub fn http_status(self) -> StatusCode {
        ALL[self as usize].2
    }

    /// The code of an HTTP answer that carries no gRPC status (gRPC's http-grpc-status-mapping).
    pub fn from_http_status(status: StatusCode) -> Self {
        match status.as_u16() {
            400 => Code::Internal,
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            404 => Code::Unimplemented,
            429 | 502..=504 => Code::Unavailable,
            _ => Code::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_stands_at_its_number() {
        for (number, (code, ..)) in (0..).zip(ALL) {
            assert_eq!(code.number(), number);
            assert_eq!(Code::from_number(number.into()), code);
        }
        assert_eq!(Code::from_number(1024), Code::Unknown);
    }
}
