//! The black-box suite: one binary, a file a service.

mod coverage;
