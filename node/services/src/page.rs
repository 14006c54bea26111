//! Pages: a token binds the filter and the order of the list that it goes on with.

use crate::status::{bad_argument, failure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fnv::FnvHasher;
use std::hash::Hasher as _;
use tonic::{Code, Status};

/// Items a page where nothing is asked for.
pub const SIZE_DEFAULT: usize = 100;
/// Items a page at most; a larger wish is taken for this.
pub const SIZE_MAX: usize = 1_000;

/// A page size: 0 is the default, more than the maximum is the maximum.
///
/// # Errors
/// `INVALID_ARGUMENT` if it is negative.
pub fn size(asked: i32) -> Result<usize, Status> {
    match usize::try_from(asked) {
        Ok(0) => Ok(SIZE_DEFAULT),
        Ok(size) => Ok(size.min(SIZE_MAX)),
        Err(_) => Err(bad_argument("page_size", format!("`page_size` is {asked}; it must not be negative"))),
    }
}

/// What a list is bound to: its filter, order and whatever else makes it another list.
fn fingerprint(bound: &[&str]) -> u64 {
    let mut hasher = FnvHasher::default();
    for part in bound {
        hasher.write(part.as_bytes());
        hasher.write_u8(0xff);
    }
    hasher.finish()
}

/// A token that goes on at `position`.
pub fn token(bound: &[&str], position: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{:016x}{position}", fingerprint(bound)))
}

/// The position of a token; nothing for the first page.
///
/// # Errors
/// `INVALID_ARGUMENT BAD_PAGE_TOKEN` for a malformed token, or one of another list.
pub fn position(bound: &[&str], token: &str) -> Result<Option<String>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let read = || {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (mark, position) = text.split_at_checked(16)?;
        (u64::from_str_radix(mark, 16).ok()? == fingerprint(bound)).then(|| position.to_owned())
    };
    read().map(Some).ok_or_else(|| {
        let message = "the page token is malformed, or belongs to another filter or order";
        failure(Code::InvalidArgument, "BAD_PAGE_TOKEN", message).field("page_token").status()
    })
}

/// The page of `items` (in order, each with a unique position) that follows `token`; and the next token.
///
/// # Errors
/// As [`size`] and [`position`].
pub fn of<T>(
    items: Vec<T>,
    page_size: i32,
    page_token: &str,
    bound: &[&str],
) -> Result<(Vec<T>, String), Status> {
    let size = size(page_size)?;
    let from = match position(bound, page_token)? {
        None => 0,
        Some(position) => {
            position.parse::<usize>().map_err(|_| bad_argument("page_token", "not a position"))?
        }
    };
    let more = items.len() > from.saturating_add(size);
    let page = items.into_iter().skip(from).take(size).collect();
    Ok((page, if more { token(bound, &(from + size).to_string()) } else { String::new() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_another_list_is_refused() {
        let token = token(&["a", "b"], "7");
        assert_eq!(position(&["a", "b"], &token).unwrap(), Some("7".to_owned()));
        assert!(position(&["ab", ""], &token).is_err());
        assert!(position(&["a", "b"], "garbage!").is_err());
        assert_eq!(position(&["a"], "").unwrap(), None);
    }

    #[test]
    fn the_pages_of_a_list_give_each_item_once() {
        let (mut all, mut token) = (Vec::new(), String::new());
        loop {
            let (page, next) = of((0..25).collect(), 10, &token, &["x"]).unwrap();
            all.extend(page);
            if next.is_empty() {
                break;
            }
            token = next;
        }
        assert_eq!(all, (0..25).collect::<Vec<_>>());
    }
}
