use super::*;
use arsenal_gateway::config::GrpcCalls;

fn environment(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_environment_overrides_and_knows_its_settings() {
    let env = environment(&[("ARSENAL_NODE_ID", "3"), ("ARSENAL_LISTEN_GRPC", "127.0.0.1:9"), ("HOME", "x")]);
    let config = Config::load(None, &env).unwrap();
    assert_eq!((config.node.id, config.listen.grpc.port()), (3, 9));
    for (name, value) in [("ARSENAL_NODE_IDD", "3"), ("ARSENAL_NODE_ID", "x"), ("ARSENAL_X", "1")] {
        let error = Config::load(None, &environment(&[(name, value)])).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn an_address_beyond_loopback_needs_the_word_insecure() {
    let open = ("ARSENAL_LISTEN_GRPC", "0.0.0.0:7450");
    assert!(Config::load(None, &environment(&[open])).is_err());
    assert!(Config::load(None, &environment(&[open, ("ARSENAL_LISTEN_INSECURE", "true")])).is_ok());
}

#[test]
fn a_node_of_a_cluster_needs_a_directory_and_settings_that_fit_together() {
    let seeds = ("ARSENAL_CLUSTER_SEEDS", r#"["a:7450", "b:7450"]"#);
    let folder = ("ARSENAL_NODE_DATA_DIR", "data");
    let config = Config::load(None, &environment(&[seeds])).unwrap();
    let refused = config.membership(config.listen.grpc).unwrap_err().to_string();
    assert!(refused.contains("node.data_dir"), "{refused}");
    let config = Config::load(None, &environment(&[seeds, folder])).unwrap();
    let settings = config.membership(config.listen.grpc).unwrap().unwrap();
    assert_eq!((settings.name.as_str(), settings.seeds.len()), ("127.0.0.1:7450", 2));
    for wrong in [
        ("ARSENAL_CLUSTER_VOTERS", "4"),
        ("ARSENAL_CLUSTER_RENEW_MS", "2000"),
        ("ARSENAL_CLUSTER_ELECTION_MS", "90"),
    ] {
        assert!(Config::load(None, &environment(&[seeds, folder, wrong])).is_err(), "{wrong:?}");
    }
    assert!(Config::default().membership(config.listen.grpc).unwrap().is_none());
}

#[test]
fn the_commented_file_is_the_default_configuration() {
    assert_eq!(toml::from_str::<Config>(&commented_file()).unwrap(), Config::default());
}

#[test]
fn every_setting_has_words() {
    let page = reference_page();
    let table = toml::Table::try_from(Config::default()).unwrap();
    for (section, settings) in &table {
        for (key, _) in settings.as_table().unwrap() {
            assert!(page.contains(&format!("| `{section}.{key}` |")), "{section}.{key}");
        }
    }
}

#[test]
fn calls_of_clients_with_stubs_pass_as_one_of_three_words_says() {
    let mut config = Config::default();
    assert_eq!(crate::gateway::settings(&config).grpc, GrpcCalls::Described);
    for (word, calls) in [("all", GrpcCalls::All), ("none", GrpcCalls::None)] {
        config.gateway.grpc_calls = word.to_owned();
        config.check().unwrap();
        assert_eq!(crate::gateway::settings(&config).grpc, calls);
    }
    config.gateway.grpc_calls = "some".to_owned();
    let refused = config.check().unwrap_err().to_string();
    assert!(refused.contains("gateway.grpc_calls is some"), "{refused}");
}

#[test]
fn streams_are_resumed_by_the_fields_that_are_named() {
    let mut config = Config::default();
    let fields = |config: &Config| {
        let fields = crate::gateway::settings(config).resumption.fields;
        fields.map(|fields| (fields.id, fields.after))
    };
    assert_eq!(fields(&config), Some(("sequence".to_owned(), "after".to_owned())));
    config.gateway.resume_id = "head.version".to_owned();
    config.gateway.resume_after = "since".to_owned();
    assert_eq!(fields(&config), Some(("head.version".to_owned(), "since".to_owned())));
    config.gateway.resume_id.clear();
    assert_eq!(fields(&config), None);
}
