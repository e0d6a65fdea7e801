//! Messages and signatures of SCRAM-SHA-256. RFC 5802 §3, §5, §7; RFC 7677.
//!
//! ```text
//! C: n,,n=user,r=CNONCE                    first
//! S: r=CNONCE+SNONCE,s=SALT,i=4096         challenge
//! C: c=biws,r=CNONCE+SNONCE,p=PROOF        last
//! S: v=SIGNATURE                           proves that the server knows the password as well
//! ```

use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};

/// PBKDF2 iterations that the server asks for: the minimum of RFC 7677 §4.
pub(super) const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).unwrap();
/// Maximum number of iterations that a client accepts from a server.
const MAX_ITERATIONS: u32 = 1_000_000;

/// The client's first message. RFC 5802 §7 (client-first-message).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct First {
    /// The channel binding flag and authorization identity, which the last message repeats.
    pub(super) gs2_header: String,
    /// The part that is signed.
    pub(super) bare: String,
    pub(super) user: String,
    pub(super) nonce: String,
}

impl First {
    /// The message of a client without channel binding or another authorization identity.
    pub(super) fn new(user: &str, nonce: &str) -> Self {
        let bare = format!("n={},r={nonce}", user.replace('=', "=3D").replace(',', "=2C"));
        Self { gs2_header: "n,,".to_owned(), bare, user: user.to_owned(), nonce: nonce.to_owned() }
    }

    /// Parses a client's first message; `None` if it is malformed, names no user, asks for channel binding (no -PLUS
    /// mechanism is announced), or names another authorization identity than the user.
    pub(super) fn parse(message: &[u8]) -> Option<Self> {
        let message = std::str::from_utf8(message).ok()?;
        let (flag, rest) = message.split_once(',')?;
        let (authzid, bare) = rest.split_once(',')?;
        if !matches!(flag, "n" | "y") {
            return None;
        }
        let mut attributes = bare.split(',');
        let user = unescape(attributes.next()?.strip_prefix("n=")?)?;
        let nonce = attributes.next()?.strip_prefix("r=")?;
        let is_own = match authzid.strip_prefix("a=") {
            Some(name) => unescape(name)? == user,
            None => authzid.is_empty(),
        };
        if user.is_empty() || !is_nonce(nonce) || !is_own {
            return None;
        }
        let gs2_header = message[..message.len() - bare.len()].to_owned();
        Some(Self { gs2_header, bare: bare.to_owned(), nonce: nonce.to_owned(), user })
    }

    /// The whole message before base64: the GS2 header and the part that is signed.
    pub(super) fn message(&self) -> Vec<u8> {
        format!("{}{}", self.gs2_header, self.bare).into_bytes()
    }
}

/// The server's challenge. RFC 5802 §7 (server-first-message).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    pub(super) text: String,
    pub(super) nonce: String,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: NonZeroU32,
}

impl Challenge {
    /// The challenge with this salt and iterations. `nonce` is the client's and, behind it, the server's.
    pub(super) fn new(nonce: String, salt: Vec<u8>, iterations: NonZeroU32) -> Self {
        let text = format!("r={nonce},s={},i={iterations}", STANDARD.encode(&salt));
        Self { text, nonce, salt, iterations }
    }

    /// Parses the server's answer to `first`, whose nonce it must continue; `None` if it does not, is malformed, or
    /// asks for more than `MAX_ITERATIONS` iterations.
    pub(super) fn parse(message: &[u8], first: &First) -> Option<Self> {
        let text = std::str::from_utf8(message).ok()?;
        let mut attributes = text.split(',');
        let nonce = attributes.next()?.strip_prefix("r=")?;
        let salt = STANDARD.decode(attributes.next()?.strip_prefix("s=")?).ok()?;
        let iterations: NonZeroU32 = attributes.next()?.strip_prefix("i=")?.parse().ok()?;
        let continues = nonce.len() > first.nonce.len() && nonce.starts_with(&first.nonce) && is_nonce(nonce);
        (continues && iterations.get() <= MAX_ITERATIONS).then(|| Self {
            text: text.to_owned(),
            nonce: nonce.to_owned(),
            salt,
            iterations,
        })
    }

    /// The client's last message up to its proof, in answer to this challenge; `first` is the client's first message.
    /// The client sends it, the server expects it, and both sign it. RFC 5802 §7 (client-final-message-without-proof).
    pub(super) fn last_without_proof(&self, first: &First) -> String {
        format!("c={},r={}", STANDARD.encode(&first.gs2_header), self.nonce)
    }
}

/// What both ends compute from the password and the previous three messages.
pub(super) struct Signatures {
    pub(super) client_proof: [u8; digest::SHA256_OUTPUT_LEN],
    pub(super) server_signature: hmac::Tag,
}

impl Signatures {
    /// Computes the client's proof and the server's signature, in a time that grows with the iterations of the
    /// challenge. RFC 5802 §3.
    pub(super) fn new(password: &str, first: &First, challenge: &Challenge) -> Self {
        let mut salted = [0; digest::SHA256_OUTPUT_LEN];
        let rounds = challenge.iterations;
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &challenge.salt, password.as_bytes(), &mut salted);
        let client_key = sign(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
        let server_key = sign(&salted, b"Server Key");
        let signed = format!("{},{},{}", first.bare, challenge.text, challenge.last_without_proof(first));
        let mut client_proof = [0; digest::SHA256_OUTPUT_LEN];
        let client_signature = sign(stored_key.as_ref(), signed.as_bytes());
        for (proof, (key, signature)) in
            client_proof.iter_mut().zip(client_key.as_ref().iter().zip(client_signature.as_ref()))
        {
            *proof = key ^ signature;
        }
        Self { client_proof, server_signature: sign(server_key.as_ref(), signed.as_bytes()) }
    }

    /// Whether these bytes are the client's proof. Compares in constant time, so that the proof cannot be guessed byte
    /// by byte.
    pub(super) fn is_proven_by(&self, proof: &[u8]) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.server_signature.as_ref());
        hmac::verify(&key, proof, sign(self.server_signature.as_ref(), &self.client_proof).as_ref()).is_ok()
    }

    /// The server's last message, with its signature in base64. RFC 5802 §7 (server-final-message).
    pub(super) fn server_last(&self) -> Vec<u8> {
        format!("v={}", STANDARD.encode(self.server_signature)).into_bytes()
    }
}

/// Returns the proof in the client's last message, decoded; `None` if what is before the proof is not `expected`, as
/// [`Challenge::last_without_proof`] returns it, or the proof is not base64. Does not check the proof.
pub(super) fn parse_last(message: &[u8], expected: &str) -> Option<Vec<u8>> {
    let (rest, proof) = std::str::from_utf8(message).ok()?.rsplit_once(",p=")?;
    if rest != expected {
        return None;
    }
    STANDARD.decode(proof).ok()
}

/// The HMAC-SHA-256 of a message with this key.
fn sign(key: &[u8], message: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message)
}

/// Whether the text can be a nonce: printable ASCII without comma or space, and not empty. RFC 5802 §7 (printable).
fn is_nonce(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

/// Decodes a user name, in which `=2C` and `=3D` are the only escapes; `None` if it has another `=`. RFC 5802 §5.1.
fn unescape(name: &str) -> Option<String> {
    let mut parts = name.split('=');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        plain.push(match code {
            "2C" => ',',
            "3D" => '=',
            _ => return None,
        });
        plain.push_str(rest);
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scram_example_of_rfc_7677_section_3_gives_its_signatures() {
        let first = First::new("user", "rOprNGfwEbeRWgbNEkqO");
        assert_eq!(First::parse(&first.message()).unwrap(), first);
        let text = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let challenge = Challenge::parse(text.as_bytes(), &first).unwrap();
        let signatures = Signatures::new("pencil", &first, &challenge);
        assert_eq!(STANDARD.encode(signatures.client_proof), "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        assert_eq!(signatures.server_last(), b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        let rest = challenge.last_without_proof(&first);
        assert_eq!(rest, "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
        let last = format!("{rest},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        assert_eq!(parse_last(last.as_bytes(), &rest).unwrap(), signatures.client_proof);
    }

    #[test]
    fn user_name_with_commas_and_equal_signs_is_unescaped() {
        let first = First::new("a=b,c", "x");
        assert_eq!(first.bare, "n=a=3Db=2Cc,r=x");
        assert_eq!(First::parse(&first.message()).unwrap().user, "a=b,c");
    }

    #[test]
    fn first_message_when_invalid_is_rejected() {
        for message in [
            "",
            "n",
            "n,",
            "n,,",
            "n,,n=user",
            "n,,n=,r=x",
            "n,,n=user,r=",
            "n,,n=us=er,r=x",
            "n,,n=us=2,r=x",
            "n,,m=ext,n=user,r=x",
            "p=tls-unique,,n=user,r=x",
            "n,a=other,n=user,r=x",
            "n,,n=user,r=\u{e9}",
        ] {
            assert_eq!(First::parse(message.as_bytes()), None, "{message}");
        }
    }

    #[test]
    fn challenge_with_other_nonce_or_too_many_iterations_is_rejected() {
        let first = First::new("user", "abc");
        for message in
            ["r=abc,s=AAAA,i=4096", "r=xbcd,s=AAAA,i=4096", "r=abcd,s=AAAA,i=0", "r=abcd,s=AAAA,i=4000000000"]
        {
            assert_eq!(Challenge::parse(message.as_bytes(), &first), None, "{message}");
        }
    }
}
