use super::*;

fn keys() -> Vec<PublicKey> {
    let key = |role: Role| PublicKey {
        label: role.to_string(),
        role,
        public: format!("U{}", role.name().to_uppercase()),
        lane: None,
    };
    Role::ALL.map(key).to_vec()
}

fn config() -> ServerConfig {
    ServerConfig::new("/var/lib/rwasm", keys())
}

#[test]
fn a_server_for_one_machine() {
    let text = config().to_text().expect("a configuration");
    for wanted in [
        "listen: \"127.0.0.1:4222\"\n",
        "max_payload: 1048576\n",
        "no_fast_producer_stall: true\n",
        "  store_dir: \"/var/lib/rwasm\"\n",
        "  sync_interval: always\n",
        "jetstream { max_streams: 32, max_consumers: 10000, max_mem: 0 }\n",
        "limits { max_subscriptions: 10000 }\n",
        "{ nkey: UADMIN }\n",
        "{ nkey: UENGINE, permissions: {\n",
        "\"rwc.t.*.*.*.*\"\n",
        "\"_INBOX_viewer.>\"\n",
        "system_account: SYS\n",
    ] {
        assert!(text.contains(wanted), "{wanted}\n{text}");
    }
    assert!(
        !text.contains("tls {") && !text.contains("cluster {"),
        "{text}"
    );
    assert_eq!(text.matches("allow_responses").count(), 1);
    let (open, close) = (text.matches('{').count(), text.matches('}').count());
    assert_eq!(open, close);
}

#[test]
fn the_key_of_a_lane_submits_to_it_alone() {
    let mut config = config();
    for key in &mut config.keys {
        key.lane = (key.role == Role::Client).then(|| "web".to_owned());
    }
    let text = config.to_text().expect("a configuration");
    assert!(text.contains("\"rwc.t.web.*.*.*\""), "{text}");
    assert!(!text.contains("\"rwc.t.*.*.*.*\""), "{text}");
}

#[test]
fn several_servers_know_each_other_by_certificate() {
    let mut config = config();
    config.listen = "0.0.0.0:4222".to_owned();
    config.tls = Some(ServerTls::new(
        "/k/server.pem",
        "/k/server.key",
        "/k/ca.pem",
    ));
    let servers = ["a:6222", "b:6222", "[::1]:6222"]
        .map(str::to_owned)
        .to_vec();
    config.routes = Some(Routes::new("0.0.0.0:6222", servers));
    assert_eq!(config.to_text(), Err(ServerConfigError::Unnamed));
    config.name = Some("n1".to_owned());
    let text = config.to_text().expect("a configuration");
    assert!(text.contains("\"nats://b:6222\""), "{text}");
    assert_eq!(text.matches("verify: true").count(), 1);
    assert_eq!(text.matches("cert_file: \"/k/server.pem\"").count(), 2);
    assert!(text.contains("init tls://0.0.0.0:4222 --key admin.key --ca ca.pem --replicas 3"));
}

#[test]
fn what_others_could_read_is_refused() {
    for listen in ["0.0.0.0:4222", "example.org:4222", "[::]:4222"] {
        let mut config = config();
        config.listen = listen.to_owned();
        assert!(matches!(
            config.to_text(),
            Err(ServerConfigError::Plain { .. })
        ));
        config.allow_plain = true;
        assert!(config.to_text().is_ok());
    }
    let mut config = config();
    config.routes = Some(Routes::new("0.0.0.0:6222", Vec::new()));
    assert!(matches!(
        config.to_text(),
        Err(ServerConfigError::Plain { .. })
    ));
}

#[test]
fn odd_names_do_not_end_a_string_or_an_address() {
    let mut config = config();
    config.store = PathBuf::from("/a \"b\" \\c");
    let text = config.to_text().expect("a configuration");
    assert!(text.contains(r#"store_dir: "/a \"b\" \\c""#), "{text}");
    config.store = PathBuf::from("/a\nb");
    assert!(matches!(
        config.to_text(),
        Err(ServerConfigError::Unwritable { .. })
    ));
    config.store = PathBuf::from("/a");
    config.store_key = Some("KEY }".to_owned());
    assert!(matches!(
        config.to_text(),
        Err(ServerConfigError::Unwritable { .. })
    ));
    config.store_key = Some("STORE_KEY".to_owned());
    assert!(
        config
            .to_text()
            .is_ok_and(|text| text.contains("key: $STORE_KEY\n"))
    );
    for listen in [
        "",
        "4222",
        "localhost",
        "localhost:",
        "a b:1",
        ":4222",
        "a:70000",
        "::1:4222",
        "a\"b:1",
    ] {
        config.listen = listen.to_owned();
        let found = config.to_text();
        assert!(
            matches!(found, Err(ServerConfigError::Address { .. })),
            "{listen}: {found:?}"
        );
    }
}

#[test]
fn a_cluster_that_nobody_can_set_up_is_refused() {
    let mut config = config();
    config.keys.retain(|key| key.role != Role::Admin);
    let error = config.to_text().expect_err("refused").to_string();
    assert!(error.contains("no admin key"), "{error}");
}
