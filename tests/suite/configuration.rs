//! Every setting: its default, its words, its variable, and the pages that are made from them.

use arsenal_server::config::{Config, commented_file, reference_page};
use std::collections::BTreeMap;
use std::path::Path;

fn table(config: &Config) -> toml::Table {
    toml::Table::try_from(config).unwrap()
}

fn load(variables: &[(&str, &str)]) -> Result<Config, String> {
    let environment: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Config::load(None, &environment).map_err(|error| error.to_string())
}

/// Each setting with its default.
fn settings() -> Vec<(String, String, toml::Value)> {
    let defaults = table(&Config::default()).into_iter();
    defaults
        .flat_map(|(section, settings)| {
            let settings = settings.as_table().unwrap().clone();
            settings.into_iter().map(move |(key, value)| (section.clone(), key, value))
        })
        .collect()
}

fn variable(section: &str, key: &str) -> String {
    format!("ARSENAL_{}_{}", section.to_uppercase(), key.to_uppercase())
}

/// The settings of the same section without which a setting is refused.
fn companions(section: &str, key: &str) -> &'static [&'static str] {
    match (section, key) {
        ("tls", "certificate") => &["key"],
        ("tls", "key") => &["certificate"],
        ("tls", "client_ca") => &["certificate", "key"],
        ("gateway", "upstream_certificate") => &["upstream_key"],
        ("gateway", "upstream_key") => &["upstream_certificate"],
        _ => &[],
    }
}

#[test]
fn the_variable_of_a_setting_sets_that_setting_and_no_other() {
    for (section, key, default) in settings() {
        let value = match (&*section, &*key, &default) {
            ("listen", _, toml::Value::String(_)) => "127.0.0.1:1".to_owned(),
            (_, "request_headers" | "response_headers", _) => r#"["x-tenant"]"#.to_owned(),
            (_, "grpc_calls", _) => "all".to_owned(),
            (_, "trusted_proxies", _) => r#"["10.0.0.0/8"]"#.to_owned(),
            (_, _, toml::Value::String(_)) => "http://other:1".to_owned(),
            (_, _, toml::Value::Boolean(value)) => (!value).to_string(),
            (_, _, toml::Value::Float(_)) => "0.25".to_owned(),
            (_, _, toml::Value::Integer(value)) => (value + 1).to_string(),
            (_, _, toml::Value::Array(_)) => r#"["https://other.example"]"#.to_owned(),
            other => panic!("no value for {other:?}"),
        };
        let mut variables = vec![(variable(&section, &key), value)];
        let mut expected = table(&Config::default());
        for beside in companions(&section, &key) {
            variables.push((variable(&section, beside), "/beside.pem".to_owned()));
            expected[&section].as_table_mut().unwrap().insert((*beside).to_owned(), "/beside.pem".into());
        }
        let variables: Vec<(&str, &str)> =
            variables.iter().map(|(name, value)| (&**name, &**value)).collect();
        let changed = load(&variables).unwrap();
        let found = table(&changed)[&section][&key].clone();
        assert_ne!(found, default, "{section}.{key}");
        expected[&section].as_table_mut().unwrap().insert(key.clone(), found);
        assert_eq!(table(&changed), expected, "{section}.{key}");
    }
}

#[test]
fn the_gateway_s_page_tells_the_defaults() {
    let defaults: BTreeMap<String, String> = settings()
        .into_iter()
        .map(|(section, key, default)| (format!("{section}.{key}"), default.to_string()))
        .collect();
    let page = include_str!("../../docs/gateway.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let limits: Vec<_> = rows.filter(|(name, _)| name.contains('.')).collect();
    assert!(limits.len() > 10, "{limits:?}");
    for (name, row) in limits {
        let told = row.split(" | ").next();
        assert_eq!(told, defaults.get(name).map(String::as_str), "{name}");
    }
}

#[test]
fn a_limit_of_nothing_is_refused_by_name() {
    // what may be 0, and what that means, is in its words
    let may_be_zero = [
        "node.schedulers",
        "cluster.bootstrap_expect",
        "cluster.forget_ms",
        "cluster.voters",
        "listen.connections_per_address_max",
        "limits.exit_records_max",
        "limits.events_per_scheduler_max",
        "limits.dead_letters_max",
        "limits.dead_letter_bytes_max",
        "limits.timers_max",
        "limits.blocking_threads_max",
        "limits.traffic_pairs_max",
        "limits.message_bytes_max",
        "grpc.request_bytes_per_second_min",
        "grpc.keepalive_ms",
        "grpc.keepalive_timeout_ms",
        "gateway.ping_ms",
        "gateway.threads",
        "gateway.room_wait_ms",
        "gateway.body_bytes_per_second_min",
        "gateway.body_grace_ms",
        "gateway.heartbeat_ms",
        "gateway.reconnect_ms",
        "gateway.compress_bytes_min",
    ];
    for (section, key, default) in settings() {
        let name = format!("{section}.{key}");
        if !default.is_integer() || may_be_zero.contains(&&*name) {
            continue;
        }
        let refused = load(&[(&variable(&section, &key), "0")]).unwrap_err();
        assert!(refused.contains(&name), "{name}: {refused}");
    }
}

#[test]
fn what_is_no_setting_or_no_value_is_refused_by_name() {
    for (name, value, part) in [
        ("ARSENAL_GRPC_NO_SUCH", "1", "grpc.no_such"),
        ("ARSENAL_NO_SUCH", "1", "no.such"),
        ("ARSENAL_GRPC_HEADER_BYTES_MAX", "many", "grpc.header_bytes_max"),
        ("ARSENAL_GRPC_HEADER_BYTES_MAX", "-1", "ARSENAL_GRPC_HEADER_BYTES_MAX"),
        ("ARSENAL_LISTEN_REST", "here", "ARSENAL_LISTEN_REST"),
        ("ARSENAL_TELEMETRY_SAMPLE_RATIO", "1.5", "telemetry.sample_ratio"),
        ("ARSENAL_LISTEN_REST", "0.0.0.0:8080", "listen.insecure"),
        ("ARSENAL_TLS_KEY", "node.key", "tls.key"),
        ("ARSENAL_TLS_CLIENT_CA", "ca.crt", "tls.client_ca"),
        ("ARSENAL_GATEWAY_UPSTREAM_CERTIFICATE", "gateway.crt", "gateway.upstream_certificate"),
        ("ARSENAL_GATEWAY_TRUSTED_PROXIES", r#"["everybody"]"#, "gateway.trusted_proxies"),
        ("ARSENAL_GATEWAY_REQUEST_HEADERS", r#"["X-Tenant"]"#, "gateway.request_headers"),
    ] {
        let refused = load(&[(name, value)]).unwrap_err();
        assert!(refused.contains(part), "{name}={value}: {refused}");
    }
}

#[test]
fn the_environment_goes_before_the_file_and_the_file_before_the_default() {
    let file = std::env::temp_dir().join(format!("arsenal-configuration-{}.toml", std::process::id()));
    std::fs::write(&file, "[grpc]\nkeepalive_ms = 1\nheader_bytes_max = 2\n").unwrap();
    let environment = BTreeMap::from([("ARSENAL_GRPC_HEADER_BYTES_MAX".to_owned(), "3".to_owned())]);
    let config = Config::load(Some(&file), &environment).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!((config.grpc.keepalive_ms, config.grpc.header_bytes_max), (1, 3));
    assert_eq!(config.grpc.message_bytes_max, Config::default().grpc.message_bytes_max);
    let missing = Config::load(Some(&file), &BTreeMap::new()).unwrap_err().to_string();
    assert!(missing.contains(&*file.to_string_lossy()), "{missing}");
}

#[test]
fn a_file_with_a_word_wrong_says_which() {
    let file = std::env::temp_dir().join(format!("arsenal-wrong-{}.toml", std::process::id()));
    std::fs::write(&file, "[grpc]\nkeep_alive = 1\n").unwrap();
    let refused = Config::load(Some(&file), &BTreeMap::new()).unwrap_err().to_string();
    std::fs::remove_file(&file).unwrap();
    assert!(refused.contains("keep_alive") && refused.contains("line 2"), "{refused}");
}

#[test]
fn the_pages_in_the_repository_are_what_the_code_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (path, expected) in
        [("docs/configuration.md", reference_page()), ("deploy/examples/arsenal.toml", commented_file())]
    {
        let found = std::fs::read_to_string(root.join(path)).unwrap();
        assert_eq!(found, expected, "{path} is out of date; `just docs` writes it anew");
    }
}

#[test]
fn the_page_has_every_setting_with_its_default_and_its_words() {
    let page = reference_page();
    for (section, key, default) in settings() {
        let row = format!("| `{section}.{key}` | `{}` | `{default}` | ", variable(&section, &key));
        let words = page.lines().find_map(|line| line.strip_prefix(&row)).unwrap_or_default();
        assert!(words.len() > 10, "{section}.{key} is not described");
    }
}
