//! Scheduling priorities, as BEAM has them.

/// How urgent a process is: `max` and `high` run before all others; a `low` one gets every eighth turn of a `normal`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(u8)]
pub enum Priority {
    /// Every eighth turn.
    Low,
    /// The default.
    #[default]
    Normal,
    /// Before normal ones.
    High,
    /// Before all others.
    Max,
}

impl Priority {
    /// OTP's name of it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Max => "max",
        }
    }

    /// The priority with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Low, Self::Normal, Self::High, Self::Max].into_iter().find(|p| p.as_str() == name)
    }

    pub(crate) const fn from_u8(value: u8) -> Self {
        match value {
            0 => Self::Low,
            2 => Self::High,
            3 => Self::Max,
            _ => Self::Normal,
        }
    }
}
