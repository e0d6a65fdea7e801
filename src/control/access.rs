//! Who may use the interface: those who know a token (RFC 6750), or a user and a password (RFC 7617).

use std::fmt;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blake3::Hash;

use super::guard::OPEN_PATHS;
use super::problem::Problem;

/// What a client says to be let in. RFC 9110 §11.6.1: browsers choose from both.
const CHALLENGES: [&str; 2] = ["Basic realm=\"postroad\", charset=\"UTF-8\"", "Bearer realm=\"postroad\""];

/// What proves that a client may use the interface.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A token.
    Token(String),
    /// A user and a password, with a colon between.
    User(String),
}

/// The secret is not shown.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "a token",
            Self::User(_) => "a user",
        })
    }
}

impl Credentials {
    /// Returns a text as a token: one or more letters, digits and `-._~+/=`, as a header has it (RFC 6750 §2.1).
    ///
    /// # Errors
    /// Why the text is none: it is empty, or has another character.
    pub fn token(text: &str) -> Result<Self, &'static str> {
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if text.is_empty() || !text.bytes().all(is_valid) {
            return Err("a token has letters, digits and -._~+/= only");
        }
        Ok(Self::Token(text.to_owned()))
    }

    /// Returns a text such as `ann:secret` as a user and a password; the password may have more colons.
    ///
    /// # Errors
    /// Why the text is none: there is no colon, a side of the first one is empty, or there is a control character.
    pub fn user(text: &str) -> Result<Self, &'static str> {
        let is_whole = text.split_once(':').is_some_and(|(user, password)| !user.is_empty() && !password.is_empty());
        if !is_whole || text.contains(char::is_control) {
            return Err("write a user and a password as USER:PASSWORD");
        }
        Ok(Self::User(text.to_owned()))
    }

    /// The value of the `Authorization` header with which a client presents them: `Bearer TOKEN`, or `Basic` and the
    /// user and password in Base64.
    pub(super) fn header(&self) -> String {
        match self {
            Self::Token(token) => format!("Bearer {token}"),
            Self::User(user) => format!("Basic {}", STANDARD.encode(user)),
        }
    }
}

/// Who may use the interface; by default everybody. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Hashes, which are compared in constant time.
    tokens: Arc<[Hash]>,
    users: Arc<[Hash]>,
}

impl Access {
    /// Admits those with one of these credentials; everybody if there are none.
    pub fn new(credentials: &[Credentials]) -> Self {
        let tokens = credentials.iter().filter_map(|one| match one {
            Credentials::Token(token) => Some(blake3::hash(token.as_bytes())),
            Credentials::User(_) => None,
        });
        let users = credentials.iter().filter_map(|one| match one {
            Credentials::User(user) => Some(blake3::hash(user.as_bytes())),
            Credentials::Token(_) => None,
        });
        Self { tokens: tokens.collect(), users: users.collect() }
    }

    /// Whether everybody may use the interface, which is so if there are no credentials.
    pub fn is_open(&self) -> bool {
        self.tokens.is_empty() && self.users.is_empty()
    }

    /// Whether there is one `Authorization` field, with a known token (`Bearer`), or a known user and password
    /// (`Basic`), or a known token as the password of any user (`Basic`).
    fn admits(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return false };
        let Some((scheme, value)) = value.to_str().ok().and_then(|value| value.split_once(' ')) else { return false };
        let value = value.trim_matches(' ');
        if scheme.eq_ignore_ascii_case("bearer") {
            return has(&self.tokens, value.as_bytes());
        }
        let Some(user) = scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(value).ok()).flatten() else {
            return false;
        };
        // A browser asks for a user and a password: there, the token is the password of any user.
        let password = user.iter().position(|byte| *byte == b':').map_or(&[][..], |colon| &user[colon + 1..]);
        has(&self.users, &user) | has(&self.tokens, password)
    }
}

/// Whether a secret has one of these hashes. It is compared with all, so that the time does not depend on which one.
fn has(hashes: &[Hash], secret: &[u8]) -> bool {
    let hash = blake3::hash(secret);
    hashes.iter().fold(false, |found, one| found | (*one == hash))
}

/// Answers requests without valid credentials with 401 and the challenges, and passes others on to `next`.
/// [`OPEN_PATHS`] need none, nor does any path if [`Access`] is open to all.
pub(super) async fn authorize(State(access): State<Access>, request: Request, next: Next) -> Response {
    if access.is_open() || OPEN_PATHS.contains(&request.uri().path()) || access.admits(request.headers()) {
        return next.run(request).await;
    }
    let refusal = Problem::new(StatusCode::UNAUTHORIZED, "this interface needs a token, or a user and a password");
    let mut response = refusal.into_response();
    for challenge in CHALLENGES {
        response.headers_mut().append(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(access: &Access, values: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        access.admits(&headers)
    }

    fn basic(user: &str) -> String {
        format!("Basic {}", STANDARD.encode(user))
    }

    #[test]
    fn access_admits_each_of_its_credentials_and_no_others() {
        let all = [Credentials::token("t0ken").unwrap(), Credentials::user("ann:pass:word").unwrap()];
        let access = Access::new(&all);
        for value in ["Bearer t0ken", "bearer t0ken", &basic("ann:pass:word"), &basic("x:t0ken"), &basic(":t0ken")] {
            assert!(admits(&access, &[value]), "{value}");
        }
        for one in &all {
            assert!(admits(&access, &[&one.header()]));
        }
        for value in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer t0ken2",
            "Bearer T0ken",
            "t0ken",
            "Digest t0ken",
            "Basic t0ken",
            "Basic =",
            &basic("ann:pass"),
            &basic("ann:"),
            &basic("t0ken"),
            &basic(""),
            "Bearer ann:pass:word",
        ] {
            assert!(!admits(&access, &[value]), "{value}");
        }
        assert!(!admits(&access, &[]));
        assert!(!admits(&access, &["Bearer t0ken", "Bearer t0ken"]), "two headers are ambiguous");
        assert!(Access::default().is_open() && !access.is_open());
    }

    #[test]
    fn credentials_that_no_header_can_have_are_refused() {
        assert!(["", "two words", "naïve", "a\r\nb", "a:b"].iter().all(|text| Credentials::token(text).is_err()));
        assert!(["", "ann", "ann:", ":secret", "ann:a\nb"].iter().all(|text| Credentials::user(text).is_err()));
        assert!(!format!("{:?}", Credentials::token("secret").unwrap()).contains("secret"));
    }
}
