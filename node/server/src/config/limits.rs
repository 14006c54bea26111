//! The limits among the settings, as a node tells them: which there are follows from the settings themselves.

use super::Config;
use std::collections::BTreeMap;

impl Config {
    /// Every setting that is a number and bounds something, by its name: `grpc.message_bytes_max`. What `[node]` says is
    /// who the node is.
    pub fn limits(&self) -> BTreeMap<String, u64> {
        let table = toml::Table::try_from(self).unwrap_or_default();
        let sections = table.into_iter().filter(|(section, _)| section != "node");
        let settings = sections.flat_map(|(section, settings)| {
            let toml::Value::Table(settings) = settings else { return Vec::new() };
            let limit = |(key, value): (String, toml::Value)| {
                let value = value.as_integer().and_then(|value| u64::try_from(value).ok());
                Some((format!("{section}.{key}"), value?))
            };
            settings.into_iter().filter_map(limit).collect()
        });
        settings.collect()
    }
}
