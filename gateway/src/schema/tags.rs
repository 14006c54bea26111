//! The numbers in `google/protobuf/descriptor.proto` of what [`editions`](super::editions) reads and writes.

/// `FileDescriptorProto`.
pub(super) mod file {
    /// `FileDescriptorSet.file`.
    pub(in super::super) const OF_SET: u32 = 1;
    pub(in super::super) const NAME: u32 = 1;
    pub(in super::super) const MESSAGE: u32 = 4;
    pub(in super::super) const ENUM: u32 = 5;
    pub(in super::super) const EXTENSION: u32 = 7;
    pub(in super::super) const OPTIONS: u32 = 8;
    pub(in super::super) const SYNTAX: u32 = 12;
    pub(in super::super) const EDITION: u32 = 14;
}

/// `DescriptorProto`.
pub(super) mod message {
    pub(in super::super) const NAME: u32 = 1;
    pub(in super::super) const FIELD: u32 = 2;
    pub(in super::super) const MESSAGE: u32 = 3;
    pub(in super::super) const ENUM: u32 = 4;
    pub(in super::super) const EXTENSION: u32 = 6;
    pub(in super::super) const OPTIONS: u32 = 7;
}

/// `FieldDescriptorProto`, its labels and types.
pub(super) mod field {
    pub(in super::super) const NAME: u32 = 1;
    pub(in super::super) const LABEL: u32 = 4;
    pub(in super::super) const TYPE: u32 = 5;
    pub(in super::super) const TYPE_NAME: u32 = 6;
    pub(in super::super) const OPTIONS: u32 = 8;
    pub(in super::super) const ONEOF: u32 = 9;
    pub(in super::super) const PROTO3_OPTIONAL: u32 = 17;

    pub(in super::super) const OPTIONAL: u64 = 1;
    pub(in super::super) const REQUIRED: u64 = 2;
    pub(in super::super) const REPEATED: u64 = 3;

    pub(in super::super) const GROUP: u64 = 10;
    pub(in super::super) const MESSAGE: u64 = 11;
    /// All numbers, `bool` and enums.
    pub(in super::super) const PACKABLE: [u64; 14] = [1, 2, 3, 4, 5, 6, 7, 8, 13, 14, 15, 16, 17, 18];
}

/// `EnumDescriptorProto` and `EnumValueDescriptorProto`.
pub(super) mod enumeration {
    pub(in super::super) const VALUE: u32 = 2;
    pub(in super::super) const NUMBER: u32 = 2;
}

/// Options of files, messages and fields.
pub(super) mod options {
    pub(in super::super) const FEATURES_OF_FILE: u32 = 50;
    pub(in super::super) const FEATURES_OF_MESSAGE: u32 = 12;
    pub(in super::super) const FEATURES_OF_FIELD: u32 = 21;
    pub(in super::super) const MAP_ENTRY: u32 = 7;
    pub(in super::super) const PACKED: u32 = 2;
}

/// `FeatureSet`, and what its features can be.
pub(super) mod features {
    pub(in super::super) const PRESENCE: u32 = 1;
    pub(in super::super) const REPEATED: u32 = 3;
    pub(in super::super) const MESSAGE: u32 = 5;

    pub(in super::super) const EXPLICIT: u64 = 1;
    pub(in super::super) const IMPLICIT: u64 = 2;
    pub(in super::super) const LEGACY_REQUIRED: u64 = 3;
    pub(in super::super) const PACKED: u64 = 1;
    pub(in super::super) const LENGTH_PREFIXED: u64 = 1;
    pub(in super::super) const DELIMITED: u64 = 2;
}

/// `Edition`.
pub(super) mod edition {
    /// 2023 and 2024, whose defaults are the same in what counts here.
    pub(in super::super) const KNOWN: std::ops::RangeInclusive<u64> = 1000..=1001;

    /// As people write it.
    pub(in super::super) fn name(number: u64) -> String {
        match number {
            1000..1100 => (number + 1023).to_string(),
            other => format!("with the number {other}"),
        }
    }
}
