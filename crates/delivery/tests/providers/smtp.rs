use std::time::Duration;

use delivery::address::EmailAddress;
use delivery::smtp::{Config, Dkim, DkimAlgorithm, InvalidSmtp, Smtp};
use delivery::{Address, Dedup, Outcome, Outgoing, Provider};
use protocol::notification::FailureClass::{Operator, PermanentMessage, PermanentRecipient, Retryable, Unknown};
use ring::signature::{Ed25519KeyPair, KeyPair};

use crate::dkim;
use crate::smtp_double::{At, How, Mail, SmtpDouble, Tls};
use crate::support::{DELIVERY, EMAIL, SECRET, class, email, failed, outgoing, phone};

fn config(double: &SmtpDouble, url: &str) -> Config {
    Config {
        name: "smtp".to_owned(),
        url: url.replace("PORT", &double.port.to_string()).into(),
        trusted: vec![double.certificate.clone()],
        from: EmailAddress::parse("kabar@kelas.example", Some("Kelas Kita")).unwrap(),
        deadline: Duration::from_secs(10),
        idle_connections_max: 2,
        dkim: None,
    }
}

fn plain(double: &SmtpDouble) -> Smtp {
    Smtp::new(config(double, "smtp://127.0.0.1:PORT?tls=none")).unwrap()
}

/// What one provider sends of this, by a server that takes everything.
async fn mail(outgoing: &Outgoing) -> Mail {
    let double = SmtpDouble::new(Tls::None, []).await;
    let outcome = plain(&double).send(outgoing).await;
    assert!(matches!(outcome, Outcome::Sent { .. }), "{outcome:?}");
    let [mail] = double.mails().try_into().unwrap();
    mail
}

#[tokio::test]
async fn a_mail_has_the_deliverys_id_a_text_and_nothing_that_runs() {
    let double = SmtpDouble::new(Tls::None, []).await;
    let provider = plain(&double);
    assert_eq!(provider.dedup(), Dedup::Soft);
    let id = format!("<{DELIVERY}@kelas.example>");
    for _ in 0..2 {
        let note = Some("2.0.0 queued as 4AB".to_owned());
        assert_eq!(provider.send(&outgoing(email())).await, Outcome::Sent { message_id: Some(id.clone()), note });
    }
    let [first, second] = double.mails().try_into().unwrap();
    assert_eq!((first.from.as_str(), &first.to), ("<kabar@kelas.example>", &vec![format!("<{EMAIL}>")]));
    assert_eq!(first.header("Message-ID"), Some(id.clone()));
    assert_eq!(second.header("Message-ID"), Some(id), "so that what comes twice can be recognised");
    assert_eq!(second.header("From").unwrap(), "\"Kelas Kita\" <kabar@kelas.example>");
    assert_eq!(second.header("To").unwrap(), format!("\"Ada Lovelace\" <{EMAIL}>"));
    assert_eq!(second.header("Subject").unwrap(), "Komentar Baru");
    assert_eq!(second.header("Auto-Submitted").unwrap(), "auto-generated");
    assert_eq!(second.header("Content-Type").unwrap(), "text/plain; charset=utf-8");
    assert!(second.header("Date").is_some() && second.header("List-Unsubscribe").is_none());
    assert!(second.raw.contains("Bob: <b>halo</b> & salam\r\n\r\nhttps://kelas.example/posts/1#c2"), "{}", second.raw);
    assert_eq!(double.connections(), 1, "one connection serves both");
}

#[tokio::test]
async fn html_comes_beside_the_text_and_one_request_unsubscribes() {
    let mut outgoing = outgoing(email());
    outgoing.content.html = Some("<p>Halo</p>\n.\n<p>.</p>".to_owned());
    outgoing.content.unsubscribe = Some("https://kabar.kelas.example/u/t0ken".parse().unwrap());
    let sent = mail(&outgoing).await;
    assert!(sent.header("Content-Type").unwrap().starts_with("multipart/alternative; boundary="));
    let (text, html) = (sent.raw.find("text/plain").unwrap(), sent.raw.find("text/html").unwrap());
    assert!(text < html, "the richest comes last");
    assert!(sent.raw.contains("Bob: <b>halo</b>") && sent.raw.contains("<p>Halo</p>\r\n.\r\n<p>.</p>"), "{}", sent.raw);
    assert_eq!(sent.header("List-Unsubscribe").unwrap(), "<https://kabar.kelas.example/u/t0ken>");
    assert_eq!(sent.header("List-Unsubscribe-Post").unwrap(), "List-Unsubscribe=One-Click");

    // RFC 8058 has it for https alone.
    outgoing.content.unsubscribe = Some("http://kabar.kelas.example/u/t0ken".parse().unwrap());
    let sent = mail(&outgoing).await;
    assert_eq!((sent.header("List-Unsubscribe").is_some(), sent.header("List-Unsubscribe-Post")), (true, None));
}

#[tokio::test]
async fn whatever_stands_in_names_and_texts_no_header_is_added() {
    let usual: Vec<_> = mail(&outgoing(email())).await.headers().into_iter().map(|(name, _)| name).collect();
    for hostile in [
        "Ada\r\nBcc: victim@b.example",
        "Ada\nBcc: victim@b.example",
        "Ada\rBcc: victim@b.example",
        "Ada\0\u{7f}\u{2028}\u{202e}",
        "\"Ada\" <victim@b.example>, x",
        "=?utf-8?q?Ada=0D=0ABcc:_victim@b.example?=",
        "Ädä, 😀 \"quoted\" \\",
        &"x".repeat(5000),
        &"ü".repeat(5000),
        "",
    ] {
        let mut outgoing = outgoing(Address::Email(EmailAddress::parse(EMAIL, Some(hostile)).unwrap()));
        outgoing.content.title = hostile.to_owned();
        outgoing.content.text = format!("{hostile}\r\n.\r\nMAIL FROM:<evil@b.example>\r\n");
        let sent = mail(&outgoing).await;
        let names: Vec<_> = sent.headers().into_iter().map(|(name, _)| name).collect();
        let others: Vec<_> = names.iter().filter(|name| !usual.contains(name)).collect();
        assert!(others.is_empty() && names.len() == usual.len(), "{hostile:?}: {names:?}");
        assert_eq!(sent.to, [format!("<{EMAIL}>")], "{hostile:?}");
        assert!(sent.header("To").unwrap().ends_with(&format!("{EMAIL}>")) || sent.header("To").unwrap() == EMAIL);
        assert!(sent.raw.lines().all(|line| line.len() < 1000));
    }
}

#[tokio::test]
async fn tls_comes_before_the_password() {
    for (tls, url) in [
        (Tls::Wrapped, "smtps://user%40kelas:canary-secret-5f1e@127.0.0.1:PORT"),
        (Tls::Start, "smtp://user%40kelas:canary-secret-5f1e@127.0.0.1:PORT"),
    ] {
        let double = SmtpDouble::new(tls, []).await;
        assert!(class(&Smtp::new(config(&double, url)).unwrap().send(&outgoing(email())).await).is_ok());
        let [mail] = double.mails().try_into().unwrap();
        assert!(mail.encrypted);
        assert_eq!(mail.user, Some(format!("user@kelas {SECRET}")));

        // A certificate that is nobody's: nothing is said to it.
        let untrusting = Config { trusted: vec![], ..config(&double, url) };
        assert_eq!(class(&Smtp::new(untrusting).unwrap().send(&outgoing(email())).await), Err(Operator));
        assert_eq!(double.mails().len(), 1);
    }
    // STARTTLS that is not offered may have been taken out on the way.
    let double = SmtpDouble::new(Tls::None, []).await;
    let provider = Smtp::new(config(&double, "smtp://user:canary-secret-5f1e@127.0.0.1:PORT")).unwrap();
    assert_eq!(class(&provider.send(&outgoing(email())).await), Err(Operator));
    assert!(double.mails().is_empty());
}

#[tokio::test]
async fn what_a_stumbling_server_means() {
    for (at, how, expected, status) in [
        (At::Greeting, How::Reply("421 4.3.2 too busy"), Retryable, Some(421)),
        (At::Greeting, How::Reply("554 5.7.1 your network is listed"), Operator, Some(554)),
        (At::Greeting, How::Drop, Retryable, None),
        (At::Auth, How::Reply("535 5.7.8 bad canary-secret-5f1e"), Operator, Some(535)),
        (At::Auth, How::Reply("454 4.7.0 later"), Retryable, Some(454)),
        (At::Mail, How::Reply("553 5.1.8 sender unknown"), Operator, Some(553)),
        (At::Mail, How::Drop, Retryable, None),
        (At::Rcpt, How::Reply("450 4.2.0 <ada@reader.example> greylisted"), Retryable, Some(450)),
        (At::Rcpt, How::Reply("550 5.1.1 <ada@reader.example> unknown"), PermanentRecipient, Some(550)),
        (At::Rcpt, How::Reply("550-5.7.1 relaying\r\n550 5.7.1 denied"), Operator, Some(550)),
        (At::Rcpt, How::Reply("552 5.2.2 full"), PermanentMessage, Some(552)),
        (At::Data, How::Reply("421 4.3.2 closing"), Retryable, Some(421)),
        (At::Data, How::Drop, Retryable, None),
        (At::Content, How::Reply("451 4.3.0 later"), Retryable, Some(451)),
        (At::Content, How::Reply("554 5.6.0 malformed"), PermanentMessage, Some(554)),
        (At::Content, How::Reply("what?"), Unknown, None),
        (At::Content, How::Drop, Unknown, None),
    ] {
        let double = SmtpDouble::new(Tls::Wrapped, [(at, how.clone())]).await;
        let url = format!("smtps://user:{SECRET}@127.0.0.1:PORT");
        let provider = Smtp::new(config(&double, &url)).unwrap();
        let outcome = provider.send(&outgoing(email())).await;
        assert_eq!(class(&outcome), Err(expected), "{at:?} {how:?} {outcome:?}");
        assert_eq!(failed(outcome).status, status, "{at:?} {how:?}");
        // The server has recovered, and so has the provider.
        assert!(class(&provider.send(&outgoing(email())).await).is_ok(), "{at:?} {how:?}");
    }
}

#[tokio::test]
async fn silence_before_the_message_is_a_failure_and_after_it_is_doubt() {
    for (at, expected) in [
        (At::Greeting, Retryable),
        (At::Mail, Retryable),
        (At::Rcpt, Retryable),
        (At::Data, Retryable),
        (At::Content, Unknown),
    ] {
        let double = SmtpDouble::new(Tls::None, [(at, How::Hang)]).await;
        let quick = Config { deadline: Duration::from_secs(1), ..config(&double, "smtp://127.0.0.1:PORT?tls=none") };
        let provider = Smtp::new(quick).unwrap();
        assert_eq!(class(&provider.send(&outgoing(email())).await), Err(expected), "{at:?}");
        // A late answer on the abandoned connection is never taken for the next message's.
        assert!(class(&provider.send(&outgoing(email())).await).is_ok(), "{at:?}");
        assert_eq!(double.connections(), 2, "{at:?}");
    }
}

#[tokio::test]
async fn what_was_said_holds_though_the_farewell_is_not_answered() {
    for (at, reply, expected) in
        [(At::Rcpt, "550 5.1.1 unknown", PermanentRecipient), (At::Content, "554 5.6.0 malformed", PermanentMessage)]
    {
        let double = SmtpDouble::new(Tls::None, [(at, How::LastWords(reply))]).await;
        let quick = Config { deadline: Duration::from_secs(1), ..config(&double, "smtp://127.0.0.1:PORT?tls=none") };
        assert_eq!(class(&Smtp::new(quick).unwrap().send(&outgoing(email())).await), Err(expected), "{at:?}");
    }
    // Taken is taken, and the silent connection is not what the next message goes by.
    let double = SmtpDouble::new(Tls::None, [(At::Content, How::LastWords("250 2.0.0 queued"))]).await;
    let provider = plain(&double);
    assert!(class(&provider.send(&outgoing(email())).await).is_ok());
    assert!(class(&provider.send(&outgoing(email())).await).is_ok());
    assert_eq!((double.mails().len(), double.connections()), (2, 2));
}

#[tokio::test]
async fn a_kept_connection_that_has_died_is_replaced() {
    let double = SmtpDouble::new(Tls::None, []).await;
    let provider = plain(&double);
    // Both at once: two connections, of which each is used again.
    let (one, two) = (outgoing(email()), outgoing(email()));
    let (first, second) = tokio::join!(provider.send(&one), provider.send(&two));
    assert!(class(&first).is_ok() && class(&second).is_ok());
    let closed = SmtpDouble::new(Tls::None, [(At::Content, How::Reply("250 ok\r\n421 4.4.2 idle too long"))]).await;
    let provider = plain(&closed);
    assert!(class(&provider.send(&one).await).is_ok());
    assert!(class(&provider.send(&two).await).is_ok());
    assert_eq!((closed.connections(), closed.mails().len()), (2, 2));
}

#[tokio::test]
async fn nobody_listening_is_retryable_and_another_kind_of_address_is_refused() {
    let double = SmtpDouble::new(Tls::None, []).await;
    let provider = plain(&double);
    assert_eq!(class(&provider.send(&outgoing(phone())).await), Err(PermanentMessage));
    assert_eq!(double.connections(), 0);
    drop(double);
    assert_eq!(class(&provider.send(&outgoing(email())).await), Err(Retryable));
}

#[tokio::test]
async fn a_signature_covers_what_a_mailbox_wants_covered() {
    let double = SmtpDouble::new(Tls::None, []).await;
    let signer = Dkim {
        domain: "kelas.example".to_owned(),
        selector: "kabar".to_owned(),
        algorithm: DkimAlgorithm::Ed25519,
        private_key: "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=".into(),
    };
    let signing = Config { dkim: Some(signer.clone()), ..config(&double, "smtp://127.0.0.1:PORT?tls=none") };
    let mut outgoing = outgoing(email());
    outgoing.content.html = Some("<p>halo</p>\n\n".to_owned());
    outgoing.content.unsubscribe = Some("https://kabar.kelas.example/u/t0ken".parse().unwrap());
    assert!(class(&Smtp::new(signing).unwrap().send(&outgoing).await).is_ok());
    let raw = &double.mails()[0].raw;
    let key = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
    let tags = dkim::verify(raw, key.public_key().as_ref()).unwrap();
    let tag = |name: &str| tags.iter().find(|(key, _)| key == name).map(|(_, value)| value.to_lowercase()).unwrap();
    for (name, value) in [("a", "ed25519-sha256"), ("d", "kelas.example"), ("s", "kabar"), ("c", "relaxed/relaxed")] {
        assert_eq!(tag(name), value);
    }
    for name in ["from", "to", "subject", "date", "message-id", "list-unsubscribe", "list-unsubscribe-post"] {
        assert!(tag("h").split(':').any(|signed| signed.trim() == name), "{name}: {}", tag("h"));
    }
    for (part, other) in [("halo", "hola"), ("One-Click", "Two-Click"), ("t0ken", "t1ken"), ("Komentar", "Komentir")] {
        assert!(raw.contains(part), "{part}");
        assert!(dkim::verify(&raw.replacen(part, other, 1), key.public_key().as_ref()).is_err(), "{part}");
    }

    let broken = Dkim { algorithm: DkimAlgorithm::Rsa, ..signer };
    let config = Config { dkim: Some(broken), ..config(&double, "smtp://127.0.0.1:PORT?tls=none") };
    assert!(matches!(Smtp::new(config), Err(InvalidSmtp::Dkim)));
}
