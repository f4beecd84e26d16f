//! Connection settings that kabar needs and the operator did not give.

/// `url` with the settings that are missing from it. Both of libpq's forms are understood: a URI
/// (`postgres://…?…`) and `key=value` pairs.
///
/// A Postgres that is stopped, frozen or cut off must not keep a caller waiting for long: connecting takes at most
/// 2 s, and data that is not acknowledged for 2 s ends a TCP connection.
pub(crate) fn complete(url: &str) -> String {
    const SETTINGS: [(&str, &str); 6] = [
        ("application_name", "kabar"),
        ("connect_timeout", "2"),
        ("tcp_user_timeout", "2000"),
        ("keepalives_idle", "5"),
        ("keepalives_interval", "2"),
        ("keepalives_count", "3"),
    ];
    let uri = url.starts_with("postgres://") || url.starts_with("postgresql://");
    let mut complete = url.to_owned();
    for (key, value) in SETTINGS {
        if url.contains(&format!("{key}=")) {
            continue;
        }
        complete.push(match (uri, complete.contains('?')) {
            (true, false) => '?',
            (true, true) => '&',
            (false, _) => ' ',
        });
        complete.push_str(key);
        complete.push('=');
        complete.push_str(value);
    }
    complete
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_added_to_both_forms_and_never_override_the_operator() {
        let uri = complete("postgres://ada@db/kabar");
        assert!(uri.starts_with("postgres://ada@db/kabar?application_name=kabar&connect_timeout=2&"), "{uri}");
        let uri = complete("postgres:///kabar?host=/tmp&connect_timeout=9");
        assert!(uri.contains("&application_name=kabar&tcp_user_timeout"), "{uri}");
        assert_eq!(uri.matches("connect_timeout").count(), 1);
        assert!(complete("host=/tmp dbname=kabar").ends_with(" keepalives_count=3"));
    }
}
