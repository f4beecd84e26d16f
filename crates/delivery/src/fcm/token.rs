//! What FCM is called with: a token that Google gives to whoever signs as the service account (RFC 7523).

use std::fmt;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::Utc;
use protocol::notification::FailureClass;
use protocol::notification::FailureClass::{Operator, Retryable};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;

use crate::classify::{Rule, status, within};
use crate::http::{Answer, Http};
use crate::provider::Failed;

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// For how long a signature asks for a token; Google gives no longer ones.
const ASSERTION_SECONDS: i64 = 3600;
/// A token is replaced this long before it ends: clocks differ, and requests take their time.
const SPARE: Duration = Duration::from_secs(300);

/// What Google's refusals mean.
const RULES: [Rule; 3] = [
    // A body that nobody understood: no token was used, so nothing was sent.
    within(200, 299, Retryable),
    // `invalid_grant`: the key was withdrawn, or our clock is wrong.
    within(400, 404, Operator),
    status(504, Retryable),
];

/// Who sends, as Google's JSON file describes it.
#[derive(Clone, Deserialize)]
pub struct ServiceAccount {
    project_id: String,
    client_email: String,
    private_key: SecretString,
    private_key_id: Option<String>,
    token_uri: String,
}

/// Text that is no service account. What it was is not repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAccount {
    /// The file.
    #[error("is no service account: project_id, client_email, private_key and token_uri are needed")]
    File,
    /// The key in it.
    #[error("the service account's private_key is no RSA key (PKCS #8 PEM, 2048 bits at least)")]
    Key,
}

impl ServiceAccount {
    /// Reads the file that Google's console gives out.
    ///
    /// # Errors
    /// [`InvalidAccount`].
    pub fn parse(json: &SecretString) -> Result<Self, InvalidAccount> {
        let account: Self = serde_json::from_str(json.expose_secret()).map_err(|_| InvalidAccount::File)?;
        let plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '.' | ':');
        if account.project_id.is_empty() || !account.project_id.chars().all(plain) {
            return Err(InvalidAccount::File);
        }
        account.key()?;
        Ok(account)
    }

    pub(super) fn project_id(&self) -> &str {
        &self.project_id
    }

    fn key(&self) -> Result<RsaKeyPair, InvalidAccount> {
        let pem = self.private_key.expose_secret().trim();
        let base64 = pem.strip_prefix("-----BEGIN PRIVATE KEY-----").ok_or(InvalidAccount::Key)?;
        let base64 = base64.strip_suffix("-----END PRIVATE KEY-----").ok_or(InvalidAccount::Key)?;
        let base64: String = base64.split_whitespace().collect();
        let der = STANDARD.decode(base64).map_err(|_| InvalidAccount::Key)?;
        RsaKeyPair::from_pkcs8(&der).map_err(|_| InvalidAccount::Key)
    }

    /// What is exchanged for a token, signed at this moment.
    fn assertion(&self) -> Result<String, InvalidAccount> {
        let key = self.key()?;
        let now = Utc::now().timestamp();
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": self.private_key_id });
        let claims = json!({
            "iss": self.client_email,
            "scope": SCOPE,
            "aud": self.token_uri,
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
        });
        let encode = |part: serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let mut signature = vec![0; key.public().modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| InvalidAccount::Key)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccount").field("project_id", &self.project_id).finish_non_exhaustive()
    }
}

struct Current {
    token: SecretString,
    until: Instant,
}

/// The token of the moment; whoever finds it old gets a new one, while all others wait for that same one.
pub(super) struct Tokens {
    account: ServiceAccount,
    http: Http,
    current: Mutex<Option<Current>>,
}

#[derive(Deserialize)]
struct Granted {
    access_token: SecretString,
    expires_in: u64,
}

impl Tokens {
    pub(super) fn new(account: ServiceAccount, http: Http) -> Self {
        Self { account, http, current: Mutex::new(None) }
    }

    pub(super) async fn current(&self) -> Result<SecretString, Failed> {
        let mut current = self.current.lock().await;
        if let Some(current) = current.as_ref().filter(|current| Instant::now() < current.until) {
            return Ok(current.token.clone());
        }
        let Granted { access_token, expires_in } = self.request().await?;
        let lasts = Duration::from_secs(expires_in.min(24 * 3600)).saturating_sub(SPARE);
        *current = Some(Current { token: access_token.clone(), until: Instant::now() + lasts });
        Ok(access_token)
    }

    /// It was refused; unless there is another one already, the next send asks for one.
    pub(super) async fn forget(&self, refused: &SecretString) {
        let mut current = self.current.lock().await;
        if current.as_ref().is_some_and(|current| current.token.expose_secret() == refused.expose_secret()) {
            *current = None;
        }
    }

    async fn request(&self) -> Result<Granted, Failed> {
        let unsigned = |_| Failed::without_answer(Operator, "the service account cannot sign");
        let assertion = self.account.assertion().map_err(unsigned)?;
        let grant = [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", &assertion)];
        let answer = match self.http.post(&self.account.token_uri) {
            Ok(request) => self.http.send(request.form(&grant)).await,
            Err(broken) => Err(broken),
        };
        match answer {
            Ok(answer) => granted(&answer, &assertion),
            Err(broken) => {
                let mut failed = broken.failed(Operator);
                // Whatever became of the request, no message was in it.
                if failed.class == FailureClass::Unknown {
                    failed.class = Retryable;
                }
                Err(failed)
            }
        }
    }
}

fn granted(answer: &Answer, assertion: &str) -> Result<Granted, Failed> {
    match answer.json::<Granted>() {
        Some(granted) if answer.is_success() => Ok(granted),
        // Of a success that is none, the body may be a token all the same: nothing of it is kept.
        _ if answer.is_success() => Err(answer.failure(&RULES, "no token in the answer", &[])),
        _ => Err(answer.failure(&RULES, &format!("no token: {}", answer.text()), &[assertion])),
    }
}
