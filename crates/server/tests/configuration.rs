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
}

#[test]
fn the_environment_beats_the_file_which_beats_the_defaults() {
    let file = format!("demo = true\n[server]\nworkers = 3\nbacklog = 100\n{APP}");
    let settings = load(
        &file,
        &[
            ("KABAR__SERVER__WORKERS", "5"),
            ("KABAR__APPS__0__KEY", "12345"),
            ("KABAR__APPS__0__CLIENT_EVENTS", "true"),
            ("KABAR__AUTH__JWT_SECRET", "12345678901234567890123456789012"),
            ("KABARISTA", "not ours"),
        ],
    )
    .unwrap();
    assert!(settings.demo);
    assert_eq!((settings.server.workers, settings.server.backlog), (5, 100));
    let [app] = settings.apps.as_slice() else { panic!("one app") };
    assert_eq!((app.id.as_str(), app.key.as_str(), app.client_events), ("7", "12345", true));
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
fn every_mistake_is_one_line_that_names_its_key() {
    let two_apps = format!("{APP}{APP}");
    let both = "[auth]\njwt_secret = \"12345678901234567890123456789012\"\njwks_url = \"https://a.example/k\"\n";
    let bad_app = APP.replace("\"k\"", "\"k:k\"");
    let short = APP.replace("0123456789abcdef", "short");
    let unknown_in_app = format!("{APP}color = 1\n");
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
    let page = include_str!("../../../docs/configuration.md");
    let expected: Vec<_> = documented()
        .iter()
        .map(|(key, (default, text))| format!("| `{key}` | `{default}` | {text} |", text = text.replace('|', "\\|")))
        .collect();
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| `")).collect();
    assert!(rows == expected, "docs/configuration.md should have these rows:\n{}", expected.join("\n"));
    assert!(documented().values().all(|(_, text)| text.len() > 10), "a key without a description");
}
