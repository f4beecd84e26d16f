//! Configuration: every mistake is one line that names its key, and what is documented is what is.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;

use secrecy::ExposeSecret;
use server::settings::{BadSetting, DEFAULTS, Settings};

fn load(file: &str, environment: &[(&str, &str)]) -> Result<Settings, BadSetting> {
    let mut written = tempfile::NamedTempFile::new().unwrap();
    written.write_all(file.as_bytes()).unwrap();
    let pairs = environment.iter().map(|(name, text)| (OsString::from(name), OsString::from(text)));
    Settings::from_sources(Some(written.path()), pairs)
}

const APP: &str = "[[apps]]\nid = \"7\"\nkey = \"k\"\nsecret = \"0123456789abcdef\"\n";

#[test]
fn the_defaults_are_a_configuration() {
    let settings = load("", &[]).unwrap();
    assert_eq!(settings.server.public.to_string(), "127.0.0.1:8080");
    assert!(settings.is_embedded() && !settings.demo && settings.apps.is_empty());
}

#[test]
fn the_defaults_are_those_of_the_hub_and_the_api() {
    let settings = load("", &[]).unwrap();
    assert_eq!(format!("{:?}", settings.hub()), format!("{:?}", hub::Config::default()));
    let ours = settings.api(&"x".repeat(32).into());
    let theirs = api::Config::new(api::Auth::hs256("x".repeat(32)));
    assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
    assert_eq!(settings.webhooks.config(), webhooks::Config::default());
}

#[test]
fn the_environment_beats_the_file_which_beats_the_defaults() {
    let file = format!("demo = true\n[server]\nworkers = 3\nbacklog = 100\n{APP}");
    let settings = load(
        &file,
        &[
            ("KABAR__SERVER__WORKERS", "5"),
            ("KABAR__APPS__0__KEY", "12345"),
            ("KABAR__APPS__0__POLICY__CLIENT_EVENTS", "true"),
            ("KABAR__AUTH__JWT_SECRET", "12345678901234567890123456789012"),
            ("KABARISTA", "not ours"),
        ],
    )
    .unwrap();
    assert!(settings.demo);
    assert_eq!((settings.server.workers, settings.server.backlog), (5, 100));
    let [app] = settings.apps.as_slice() else { panic!("one app") };
    assert_eq!((app.id.as_str(), app.key.as_str(), app.policy.client_events), ("7", "12345", true));
    assert_eq!(settings.auth.jwt_secret.unwrap().expose_secret(), "12345678901234567890123456789012");
}

#[test]
fn apps_come_from_the_environment_alone_one_by_one_or_as_json() {
    let one = load(
        "",
        &[
            ("KABAR__APPS__0__ID", "1"),
            ("KABAR__APPS__0__KEY", "a"),
            ("KABAR__APPS__0__SECRET", "0123456789abcdef"),
            ("KABAR__APPS__0__API_KEYS", r#"["fedcba9876543210"]"#),
        ],
    );
    assert_eq!(one.unwrap().apps[0].api_keys.len(), 1);
    let json = r#"[{"id":"1","key":"a","secret":"0123456789abcdef"},{"id":"2","key":"b","secret":"0123456789abcdef"}]"#;
    assert_eq!(load("", &[("KABAR__APPS", json)]).unwrap().apps.len(), 2);
}

#[test]
fn webhooks_stand_in_the_file_or_the_environment_and_their_headers_are_not_printed() {
    let file = format!(
        "{APP}[[apps.webhooks]]\nurl = \"http://10.1.2.3/\"\nbatching = true\n[apps.webhooks.headers]\nX-Key = \"hush\"\n"
    );
    assert_eq!(load(&file, &[]).unwrap_err().key, "apps.0.webhooks.0.url");
    let settings = load(&file, &[("KABAR__WEBHOOKS__ALLOWED_HOSTS", r#"["10.0.0.0/8"]"#)]).unwrap();
    assert!(!format!("{settings:?}").contains("hush"));
    let endpoint = settings.apps[0].webhooks[0].endpoint(&"7".to_owned().try_into().unwrap());
    assert_eq!((endpoint.headers["X-Key"].as_str(), endpoint.batching, endpoint.configured), ("hush", true, true));
    let json = r#"[{"url":"https://a.example/","events":["cache_miss"]}]"#;
    let settings = load(APP, &[("KABAR__APPS__0__WEBHOOKS", json)]).unwrap();
    assert_eq!(settings.apps[0].webhooks[0].events, ["cache_miss"]);
}

#[test]
fn an_app_has_a_policy_and_a_secret_that_overlaps_the_one_before_it() {
    let file = format!(
        "{APP}previous_secret = \"fedcba9876543210\"\nprevious_secret_until = 2026-12-01T08:00:00+08:00\n\
         [apps.policy]\nconnections_max = 5\nallowed_origins = [\"https://a.example\", \"capacitor://localhost\"]\n\
         [[apps.policy.history]]\nprefix = \"private-\"\nmessages_max = 0\nseconds = 60\n"
    );
    let environment = [
        ("KABAR__APPS__0__POLICY__REFUSE_REPLAYS", "true"),
        ("KABAR__APPS__0__POLICY__EVENT_BYTES_MAX", "100"),
        ("KABAR__APPS__0__POLICY__ALLOWED_ORIGINS__1", "http://b.example:8080"),
        ("KABAR__APPS__0__POLICY__HISTORY__0__PREFIX", "chat-"),
    ];
    let app = load(&file, &environment).unwrap().apps.remove(0);
    assert_eq!(app.previous_secret.unwrap().expose_secret(), "fedcba9876543210");
    assert_eq!(app.previous_secret_until.unwrap().to_rfc3339(), "2026-12-01T00:00:00+00:00");
    let policy = app.policy;
    assert_eq!((policy.connections_max, policy.event_bytes_max, policy.refuse_replays), (Some(5), Some(100), true));
    assert_eq!(policy.allowed_origins, ["https://a.example", "http://b.example:8080"]);
    assert_eq!((policy.history[0].prefix.as_str(), policy.history[0].messages_max), ("chat-", 0));
    let json = [("KABAR__APPS__0__POLICY", r#"{"client_events": true}"#)];
    assert!(load(APP, &json).unwrap().apps[0].policy.client_events);
    assert_eq!(load(APP, &[]).unwrap().apps[0].policy, protocol::Policy::default());
}

#[test]
fn every_mistake_in_a_policy_is_one_line_that_names_its_key() {
    let rule = |change: &str| format!("history = [{{ prefix = \"a\", messages_max = 1, seconds = 1, {change} }}]");
    let rule_without = "history = [{ prefix = \"a\", seconds = 1 }]".to_owned();
    let prefix = |prefix: &str| format!("history = [{{ prefix = \"{prefix}\", messages_max = 1, seconds = 1 }}]");
    let amount = |messages: i64, seconds: i64| {
        format!("history = [{{ prefix = \"\", messages_max = {messages}, seconds = {seconds} }}]")
    };
    let origin = |origin: &str| format!("allowed_origins = [\"https://a.example\", \"{origin}\"]");
    let mut bad = vec![
        ("colour = 1".to_owned(), "colour"),
        ("enabled = \"perhaps\"".to_owned(), "enabled"),
        ("connections_max = \"many\"".to_owned(), "connections_max"),
        ("connections_max = -1".to_owned(), "connections_max"),
        ("channels_per_socket_max = 100001".to_owned(), "channels_per_socket_max"),
        ("presence_members_max = 100001".to_owned(), "presence_members_max"),
        ("client_events_per_second_max = 100001".to_owned(), "client_events_per_second_max"),
        ("event_bytes_max = 16777217".to_owned(), "event_bytes_max"),
        (format!("allowed_origins = {:?}", vec!["https://a.example"; 101]), "allowed_origins"),
        (rule("colour = 1"), "history.0.colour"),
        (rule_without, "history.0.messages_max"),
        (prefix("a b"), "history.0.prefix"),
        (prefix("é"), "history.0.prefix"),
        (prefix(&"a".repeat(201)), "history.0.prefix"),
        (amount(100_001, 1), "history.0.messages_max"),
        (amount(1, 0), "history.0.seconds"),
        (amount(1, 2_592_001), "history.0.seconds"),
    ];
    for key in [
        "connections_max",
        "connections_per_address_max",
        "connections_per_user_max",
        "channels_per_socket_max",
        "presence_members_max",
        "client_events_per_second_max",
        "event_bytes_max",
        "publishes_per_second_max",
    ] {
        bad.push((format!("{key} = 0"), key));
    }
    for text in ["example.com", "https://*.example.com", "https://a.example/path", "https://me@a.example", "null", ""] {
        bad.push((origin(text), "allowed_origins.1"));
    }
    for (line, key) in bad {
        let error = load(&format!("{APP}[apps.policy]\n{line}\n"), &[]).expect_err(&line);
        assert_eq!(error.key, format!("apps.0.policy.{key}"), "{line}: {error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
    let named = [("KABAR__APPS__0__POLICY__CONNECTIONS_MAX", "0"), ("KABAR__APPS__0__POLICY__CLIENT_EVENTS", "yes")];
    for (variable, key) in named.into_iter().zip(["connections_max", "client_events"]) {
        assert_eq!(load(APP, &[variable]).unwrap_err().key, format!("apps.0.policy.{key}"));
    }
    let unknown = load(&format!("{APP}[apps.policy]\ncolour = 1"), &[]).unwrap_err();
    assert!(unknown.why.contains("refuse_replays"), "{unknown}");
}

#[test]
fn what_needs_a_restart_is_named_and_apps_do_not() {
    let before = load(&format!("[socket]\nfragments_max = 5\n{APP}"), &[]).unwrap();
    let after = load(&APP.replace("\"k\"", "\"other\""), &[("KABAR__AUTH__ISSUER", "me")]).unwrap();
    assert_eq!(before.needs_restart(&after), ["auth.issuer", "socket.fragments_max"]);
    assert_eq!(before.needs_restart(&before), [""; 0]);
    let told = load(&format!("{APP}[[apps.webhooks]]\nurl = \"https://a.example/\"\n"), &[]).unwrap();
    assert_eq!(load(APP, &[]).unwrap().needs_restart(&told), [""; 0]);
}

#[test]
fn every_mistake_is_one_line_that_names_its_key() {
    let two_apps = format!("{APP}{APP}");
    let both = "[auth]\njwt_secret = \"12345678901234567890123456789012\"\njwks_url = \"https://a.example/k\"\n";
    let bad_app = APP.replace("\"k\"", "\"k:k\"");
    let short = APP.replace("0123456789abcdef", "short");
    let unknown_in_app = format!("{APP}color = 1\n");
    let webhook = |lines: &str| format!("{APP}[[apps.webhooks]]\nurl = \"https://a.example/\"\n{lines}");
    let twice = webhook("[[apps.webhooks]]\nurl = \"https://a.example/\"\n");
    let loopback = APP.to_owned() + "[[apps.webhooks]]\nurl = \"http://127.1/\"\n";
    let (no_event, no_header) = (webhook("events = [\"occupied\"]\n"), webhook("headers = { Host = \"a\" }\n"));
    let moved = format!("{APP}client_events = true\n");
    let no_end = format!("{APP}previous_secret = \"fedcba9876543210\"\n");
    let no_previous = format!("{APP}previous_secret_until = \"2026-12-01T00:00:00Z\"\n");
    let short_previous = format!("{no_previous}previous_secret = \"short\"\n");
    let no_time = format!("{APP}previous_secret_until = \"tomorrow\"\n");
    let no_offset = format!("{APP}previous_secret_until = 2026-12-01T00:00:00\n");
    for (file, key) in [
        ("colour = 1", "colour"),
        ("[server]\nport = 1", "server.port"),
        ("[sockets]\n", "sockets"),
        ("[server]\npublic = \"localhost\"", "server.public"),
        ("[server]\npublic = 8080", "server.public"),
        ("[server]\nworkers = -1", "server.workers"),
        ("[server]\nworkers = \"many\"", "server.workers"),
        ("[server]\nbacklog = 1", "server.backlog"),
        ("[server]\ndrain_seconds = 601", "server.drain_seconds"),
        ("[server]\nunix_socket_mode = \"rw\"", "server.unix_socket_mode"),
        ("[server]\ntrusted_proxies = [\"localhost\"]", "server.trusted_proxies"),
        ("[tls]\nlisten = \"127.0.0.1:0\"", "tls.cert_file"),
        ("[tls]\ncert_file = \"a\"\nkey_file = \"b\"", "tls.listen"),
        ("[tls]\nreload_seconds = 0", "tls.reload_seconds"),
        ("[database]\npool_size = 0", "database.pool_size"),
        ("[database]\npool_size = 1001", "database.pool_size"),
        ("[database]\nurl = \"mysql://x\"", "database.url"),
        ("[database]\nurl = \"postgres://a/b\"", "auth.jwt_secret"),
        ("[database]\ndata_dir = \"\"", "database.data_dir"),
        ("[socket]\nqueue_bytes_max = 1", "socket.queue_bytes_max"),
        ("[chat]\ntyping_seconds = 0", "chat.typing_seconds"),
        ("[notifications]\npage_max = 0", "notifications.page_max"),
        ("[notifications]\ntransports = [\"sms\"]", "notifications.transports"),
        ("[notifications]\ncategory_transports = [\"chat\"]", "notifications.category_transports"),
        ("[notifications]\ntypes = [\"REFUND\"]", "notifications.types"),
        ("[notifications]\nlink_base = \"/x\"", "notifications.link_base"),
        ("[http]\nbody_bytes_max = 1", "http.body_bytes_max"),
        ("[log]\nformat = \"xml\"", "log.format"),
        ("[log]\nlevel = \"a=b=c\"", "log.level"),
        ("[auth]\njwt_secret = \"short\"", "auth.jwt_secret"),
        ("[auth]\njwks_url = \"http://a.example/k\"", "auth.jwks_url"),
        ("demo = true\n[auth]\njwks_url = \"https://a.example/k\"", "demo"),
        ("[[auth.public_keys]]\nalgorithm = \"HS256\"\npem = \"\"", "auth.public_keys.0.algorithm"),
        (both, "auth.jwt_secret"),
        ("[[apps]]\nid = \"1\"", "apps.0.key"),
        (&two_apps, "apps.1.id"),
        (&bad_app, "apps.0.key"),
        (&short, "apps.0.secret"),
        (&unknown_in_app, "apps.0.color"),
        ("[webhooks]\nin_flight_max = 0", "webhooks.in_flight_max"),
        ("[webhooks]\nallowed_hosts = [\"10.0.0.0/99\"]", "webhooks.allowed_hosts"),
        (&twice, "apps.0.webhooks.1.url"),
        (&loopback, "apps.0.webhooks.0.url"),
        (&no_event, "apps.0.webhooks.0.events"),
        (&no_header, "apps.0.webhooks.0.headers"),
        (&moved, "apps.0.client_events"),
        (&no_end, "apps.0.previous_secret_until"),
        (&no_previous, "apps.0.previous_secret"),
        (&short_previous, "apps.0.previous_secret"),
        (&no_time, "apps.0.previous_secret_until"),
        (&no_offset, "apps.0.previous_secret_until"),
    ] {
        let error = load(file, &[]).expect_err(file);
        assert_eq!(error.key, key, "{file}: {error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

#[test]
fn a_bad_variable_is_named_by_its_key() {
    for (name, text, key) in [
        ("KABAR__SERVER__WORKERS", "many", "server.workers"),
        ("KABAR__DEMO", "yes", "demo"),
        ("KABAR__SERVER__COLOUR", "red", "server.colour"),
        ("KABAR__COLOUR", "red", "colour"),
        ("KABAR__APPS", "[", "apps"),
        ("KABAR__APPS__3__KEY", "k", "apps.3.key"),
        ("KABAR__DEMO__DEEPER", "1", "demo.deeper"),
    ] {
        let error = load("", &[(name, text)]).expect_err(name);
        assert_eq!(error.key, key, "{error}");
    }
}

#[test]
fn a_file_that_is_missing_or_no_toml_is_named_and_not_repeated() {
    let missing = Settings::from_sources(Some("/nowhere/kabar.toml".as_ref()), std::iter::empty()).unwrap_err();
    assert!(missing.to_string().contains("/nowhere/kabar.toml"));
    let error = load("demo = false\n[auth]\njwt_secret = \"hush-hush", &[]).unwrap_err();
    assert!(error.why.contains("line 3") && !error.to_string().contains("hush"), "{error}");
}

#[test]
fn secrets_are_never_printed() {
    let file = format!(
        "[database]\nurl = \"postgres://me:hush@host/db\"\n[auth]\njwt_secret = \"hush{}\"\n{}api_keys = [\"hush-hush-hush-hush\"]\n",
        "x".repeat(32),
        APP.replace("0123456789abcdef", "hush-hush-hush-hush"),
    );
    assert!(!format!("{:?}", load(&file, &[]).unwrap()).contains("hush"));
    let error = load("[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = 987654321", &[]).unwrap_err();
    assert_eq!(error.key, "apps.0.secret");
    assert!(!error.to_string().contains("987654321"), "{error}");
}

/// Key → default and description, from the comments of `config.default.toml`.
fn documented() -> BTreeMap<String, (String, String)> {
    let (mut keys, mut section, mut comment) = (BTreeMap::new(), String::new(), Vec::new());
    for line in DEFAULTS.lines() {
        let bare = line.strip_prefix('#').unwrap_or(line);
        let is_prose = line.starts_with("# ") || line.is_empty();
        if is_prose {
            if line.is_empty() { comment.clear() } else { comment.push(bare.trim()) }
        } else if bare.starts_with('[') {
            let name = bare.trim_matches(['[', ']']);
            let name = name.replacen("apps.", "apps[].", 1);
            section = if bare.starts_with("[[") { format!("{name}[].") } else { format!("{name}.") };
            comment.clear();
        } else if let Some((key, default)) = bare.split_once(" = ") {
            let default = if line.starts_with('#') { "none" } else { default };
            keys.insert(format!("{section}{key}"), (default.to_owned(), comment.join(" ")));
            comment.clear();
        }
    }
    keys
}

#[test]
fn the_documentation_has_every_key_as_the_defaults_describe_it() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let page = std::fs::read_to_string(path).unwrap();
    let expected: Vec<_> = documented()
        .iter()
        .map(|(key, (default, text))| format!("| `{key}` | `{default}` | {text} |", text = text.replace('|', "\\|")))
        .collect();
    let is_row = |line: &&str| line.starts_with("| `");
    let rows: Vec<_> = page.lines().filter(is_row).collect();
    // What `make gen` does: the rows are the defaults' own words, so nobody writes them twice.
    if rows != expected && std::env::var_os("KABAR_WRITE_DOCS").is_some() {
        let first = page.lines().position(|line| is_row(&line)).unwrap();
        let mut lines: Vec<&str> = page.lines().filter(|line| !is_row(line)).collect();
        lines.splice(first..first, expected.iter().map(String::as_str));
        return std::fs::write(path, lines.join("\n") + "\n").unwrap();
    }
    assert!(rows == expected, "docs/configuration.md differs from config.default.toml; run: make gen");
    assert!(documented().values().all(|(_, text)| text.len() > 10), "a key without a description");
}
