//! The page at `/docs`: one file, no network beside `/openapi.json`.

/// The page.
pub(super) const PAGE: &str = include_str!("docs.html");
