//! The messages that are echoed, as JSON: about 100 bytes, 4 KB nested, and 1 MB of bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Items of the medium message.
const ITEMS: u64 = 30;
/// Bytes that the large message carries.
const LARGE_BYTES: usize = 1 << 20;

/// A message and where it is echoed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    Small,
    Medium,
    Large,
}

impl Size {
    pub const ALL: [Size; 3] = [Size::Small, Size::Medium, Size::Large];

    /// Finds one by its name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|size| size.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Size::Small => "small",
            Size::Medium => "medium",
            Size::Large => "large",
        }
    }

    /// The name of its message in the descriptor.
    pub fn message(self) -> &'static str {
        match self {
            Size::Small => "bench.v1.Small",
            Size::Medium => "bench.v1.Medium",
            Size::Large => "bench.v1.Large",
        }
    }

    /// Where REST takes it.
    pub fn path(self) -> &'static str {
        match self {
            Size::Small => "/v1/small",
            Size::Medium => "/v1/medium",
            Size::Large => "/v1/large",
        }
    }

    /// Where gRPC takes it.
    pub fn call(self) -> &'static str {
        match self {
            Size::Small => "/bench.v1.EchoService/SaySmall",
            Size::Medium => "/bench.v1.EchoService/SayMedium",
            Size::Large => "/bench.v1.EchoService/SayLarge",
        }
    }

    /// It, as JSON.
    pub fn json(self) -> String {
        match self {
            Size::Small => {
                r#"{"name":"order-processing","count":42,"active":true,"weight":12.75,"note":"to the back door, please"}"#
                    .to_owned()
            }
            Size::Medium => medium(),
            Size::Large => format!(r#"{{"data":"{}"}}"#, STANDARD.encode(bytes())),
        }
    }

    /// What the first piece of each answer contains.
    pub fn expected(self) -> &'static str {
        match self {
            Size::Small => r#""note":"to the back door, please""#,
            Size::Medium => r#""city":"Rotterdam""#,
            Size::Large => r#"{"data":""#,
        }
    }
}

fn medium() -> String {
    let item = |index: u64| {
        let size = index * 1_000_003;
        let fragile = if index.is_multiple_of(2) { r#","fragile":true"# } else { "" };
        format!(
            r#"{{"id":"item-{index}","size":"{size}","weight":{index}.25{fragile},"labels":{{"zone":"eu-west-1","owner":"team-{index}"}}}}"#
        )
    };
    let items: Vec<String> = (1..=ITEMS).map(item).collect();
    format!(
        r#"{{"name":"order-processing","customer":{{"id":"c-1842","email":"mo@example.org","address":{{"street":"Kade 7","city":"Rotterdam","country":"NL"}}}},"items":[{}],"tags":["alpha","beta","gamma"]}}"#,
        items.join(",")
    )
}

/// Bytes without a pattern, so that base64 has all its letters: a linear congruential generator's.
fn bytes() -> Vec<u8> {
    let mut state = 1u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(LARGE_BYTES).collect()
}
