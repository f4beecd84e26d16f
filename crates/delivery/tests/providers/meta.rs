use delivery::meta::{Config, Meta, Template};
use delivery::{Dedup, Http, Outcome, Provider};
use protocol::notification::FailureClass::{Operator, PermanentMessage, PermanentRecipient, Retryable, Unknown};
use serde_json::json;

use crate::http_double::{HttpDouble, json};
use crate::support::{DELIVERY, PHONE, SECRET, class, failed, faults, outgoing, patient, phone, table};

fn meta(template: Option<Template>) -> impl Fn(&str, Http) -> Meta {
    move |url, http| {
        let (name, base_url, template) = ("meta".to_owned(), format!("{url}/v23.0"), template.clone());
        let phone_number_id = "1040".to_owned();
        Meta::new(Config { name, base_url, phone_number_id, access_token: SECRET.into(), template }, http).unwrap()
    }
}

const ACCEPTED: &str = r#"{"messaging_product":"whatsapp","contacts":[{"input":"x","wa_id":"x"}],
    "messages":[{"id":"wamid.HBg","message_status":"accepted"}]}"#;

#[tokio::test]
async fn a_text_goes_to_the_numbers_own_path_with_the_delivery_beside_it() {
    let double = HttpDouble::plain([json(200, ACCEPTED)]).await;
    let provider = meta(None)(&double.url, patient(&double));
    assert_eq!(provider.dedup(), Dedup::None);
    let outcome = provider.send(&outgoing(phone())).await;
    let note = Some("accepted".to_owned());
    assert_eq!(outcome, Outcome::Sent { message_id: Some("wamid.HBg".to_owned()), note });
    let request = double.request();
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v23.0/1040/messages"));
    assert_eq!(request.header("Authorization"), Some(&*format!("Bearer {SECRET}")));
    let body = "*Komentar Baru*\n\nBob: <b>halo</b> & salam\n\nhttps://kelas.example/posts/1#c2";
    assert_eq!(
        request.json(),
        json!({
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": PHONE,
            "type": "text",
            "text": { "body": body, "preview_url": false },
            "biz_opaque_callback_data": DELIVERY,
        })
    );
}

#[tokio::test]
async fn a_templates_parameters_are_of_one_line_and_never_empty() {
    let template = Template { name: "kabar".to_owned(), language: "id".to_owned(), with_link: true };
    let double = HttpDouble::plain([json(200, ACCEPTED)]).await;
    let mut outgoing = outgoing(phone());
    outgoing.content.title = String::new();
    outgoing.content.text = "satu\n\n\tdua     tiga".to_owned();
    let outcome = meta(Some(template))(&double.url, patient(&double)).send(&outgoing).await;
    assert_eq!(class(&outcome), Ok(Some("wamid.HBg".to_owned())));
    let body = double.request().json();
    assert_eq!(body["type"], "template");
    assert_eq!(
        body["template"],
        json!({
            "name": "kabar",
            "language": { "code": "id" },
            "components": [{ "type": "body", "parameters": [
                { "type": "text", "text": "–" },
                { "type": "text", "text": "satu dua tiga" },
                { "type": "text", "text": "https://kelas.example/posts/1#c2" },
            ] }],
        })
    );
}

#[tokio::test]
async fn the_code_decides_and_not_the_title() {
    let refused = |status, code: i64| {
        let message = format!("(#{code}) Token {SECRET} for {PHONE}");
        let error = json!({ "message": message, "type": "OAuthException", "code": code,
            "error_data": { "messaging_product": "whatsapp", "details": "unreachable (#190)" }, "fbtrace_id": "A" });
        json(status, &json!({ "error": error }).to_string())
    };
    let mut rows = vec![
        (json(200, r#"{"messages":[]}"#), Err(Unknown)),
        (json(200, r#"{"error":{"code":131026}}"#), Err(PermanentRecipient)),
        (json(400, r#"{"error":{"code":100,"message":"Invalid parameter"}}"#), Err(PermanentMessage)),
        (json(500, r#"{"error":{"code":1,"message":"unknown"}}"#), Err(Retryable)),
        (json(504, "{}"), Err(Unknown)),
    ];
    for (code, class) in [
        (131026, PermanentRecipient),
        (131050, PermanentRecipient),
        (131047, PermanentMessage),
        (131051, PermanentMessage),
        (132000, PermanentMessage),
        (132001, PermanentMessage),
        (130472, PermanentMessage),
        (131048, Retryable),
        (131049, Retryable),
        (131056, Retryable),
        (130429, Retryable),
        (190, Operator),
        (131031, Operator),
        (131042, Operator),
    ] {
        rows.push((refused(400, code), Err(class)));
    }
    table(|double| meta(None)(&double.url, patient(double)), &outgoing(phone()), rows).await;

    for (code, seconds) in [(131049, Some(86_400)), (131056, Some(6)), (131026, None)] {
        let double = HttpDouble::plain([refused(400, code)]).await;
        let failed = failed(meta(None)(&double.url, patient(&double)).send(&outgoing(phone())).await);
        assert_eq!(failed.retry_after.map(|wait| wait.as_secs()), seconds, "{code}");
    }
}

#[tokio::test]
async fn faults_are_not_taken_for_sent() {
    faults(meta(None), &outgoing(phone())).await;
}
