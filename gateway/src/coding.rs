//! Content codings: bodies of requests taken apart, bodies of answers pressed for clients that accept it (RFC 9110, 8.4).

mod decode;
mod encode;
mod tag;

use http::{HeaderMap, HeaderName, header};

use crate::negotiate;

pub(crate) use decode::{DecodeError, Decoded, decode};
pub(crate) use encode::{announce, encoded, is_worth_it};
pub(crate) use tag::parted;

/// A coding that is taken and given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Zstd,
}

impl Coding {
    /// What the header `accept-encoding` of a refusal lists.
    pub(crate) const ALL: &'static str = "gzip, zstd";

    fn named(name: &str) -> Option<Self> {
        match () {
            () if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => {
                Some(Self::Gzip)
            }
            () if name.eq_ignore_ascii_case("zstd") => Some(Self::Zstd),
            () => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Zstd => "zstd",
        }
    }

    /// The coding of a body; the text of one that is not taken, also of several on top of each other.
    pub(crate) fn of_body(headers: &HeaderMap) -> Result<Option<Self>, String> {
        let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(None) };
        let text = String::from_utf8_lossy(value.as_bytes());
        match text.trim() {
            "" => Ok(None),
            name if name.eq_ignore_ascii_case("identity") => Ok(None),
            name => Self::named(name).map(Some).ok_or_else(|| name.to_owned()),
        }
    }

    /// The coding that the client likes best, zstd where it has no liking; none if it likes plain text better. What it names
    /// is as it says there, whatever it says of all others (RFC 9110, 12.5.3).
    pub(crate) fn accepted(headers: &HeaderMap) -> Option<Self> {
        const ACCEPT_ENCODING: HeaderName = header::ACCEPT_ENCODING;
        let (mut zstd, mut gzip, mut plain, mut others) = (None, None, None, None);
        for (name, quality) in negotiate::listed(headers, &ACCEPT_ENCODING) {
            let said = match Self::named(name) {
                Some(Self::Zstd) => &mut zstd,
                Some(Self::Gzip) => &mut gzip,
                None if name.eq_ignore_ascii_case("identity") => &mut plain,
                None if name == "*" => &mut others,
                None => continue,
            };
            *said = Some(said.map_or(quality, |before: f32| before.max(quality)));
        }
        let quality = |said: Option<f32>| said.or(others).unwrap_or(0.0);
        let (zstd, gzip, plain) = (quality(zstd), quality(gzip), plain.unwrap_or(0.0));
        let (coding, best) = if zstd >= gzip { (Self::Zstd, zstd) } else { (Self::Gzip, gzip) };
        (best > 0.0 && best >= plain).then_some(coding)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn accepted(text: &'static str) -> Option<Coding> {
        Coding::accepted(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(text))]))
    }

    #[test]
    fn the_client_s_liking_decides_and_then_the_better_coding() {
        assert_eq!(accepted("gzip, deflate, br, zstd"), Some(Coding::Zstd));
        assert_eq!(accepted("gzip, deflate, br"), Some(Coding::Gzip));
        assert_eq!(accepted("zstd;q=0.5, gzip"), Some(Coding::Gzip));
        assert_eq!(accepted("gzip;q=0.5, identity"), None);
        assert_eq!(accepted("identity, gzip"), Some(Coding::Gzip));
        assert_eq!(accepted("gzip;q=0"), None);
        assert_eq!(accepted("br"), None);
        assert_eq!(accepted("*"), Some(Coding::Zstd));
        assert_eq!(accepted("*;q=0.5, identity"), None);
    }

    #[test]
    fn a_coding_that_is_excluded_by_its_name_is_not_chosen_by_a_word_for_all() {
        assert_eq!(accepted("zstd;q=0, *"), Some(Coding::Gzip));
        assert_eq!(accepted("*, zstd;q=0, gzip;q=0.0"), None);
        assert_eq!(accepted("gzip;Q=0"), None);
        assert_eq!(accepted("gzip, *;q=0"), Some(Coding::Gzip));
    }
}
