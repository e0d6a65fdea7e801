//! The HTML of a message for the frame in which the page shows it. The frame is a sandbox without scripts and forms, and nothing
//! is loaded into it: pictures of the message itself come as `data:` URLs, and all others stay away.

use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mail_parser::{Message, MessageParser, MimeHeaders};
use serde::Deserialize;

use super::list::ListQuery;
use super::message::{find, inert};
use super::{Answer, AppState, Failure, catalogue, extract};
use crate::catalogue::parts;
use crate::sync::beside_others;

/// A link opens a new window, which is not in the sandbox; only a click of the reader opens one.
const POLICY: &str = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; \
                      img-src data:; font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";
/// The largest sum of the pictures in a sheet, in bytes: a message may name one a thousand times.
const MAX_PICTURE_BYTES: usize = 32 * 1024 * 1024;

/// Elements whose content the policy stops, but not the connections that browsers open in advance: for `rel=preconnect` and
/// `rel=dns-prefetch`, and for the address of a frame.
const INERT_ELEMENTS: [&str; 7] = ["link", "iframe", "frame", "object", "embed", "fencedframe", "portal"];

/// What stands before the letter: links open a new window, and a font, since letters without one are shown in the mail
/// program's. `light` keeps what the letter takes from the browser black on white.
const HEAD: &str = "<!doctype html><meta charset=\"utf-8\"><base target=\"_blank\"><meta name=\"color-scheme\" content=\"light\">\
                    <style>html{font:15px/1.5 system-ui,sans-serif;background:#fff;color:#1d2126;overflow-wrap:anywhere}\
                    body{margin:24px}img{max-width:100%}</style>";
/// The same in the dark.
const DARK_HEAD: &str = "<!doctype html><meta charset=\"utf-8\"><base target=\"_blank\"><meta name=\"color-scheme\" content=\"dark\">\
                    <style>html{font:15px/1.5 system-ui,sans-serif;background:#1b1f23;color:#e6e8ea;overflow-wrap:anywhere}\
                    body{margin:24px}img{max-width:100%}</style>";

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SheetQuery {
    /// On a dark ground.
    #[serde(default)]
    dark: bool,
}

/// The HTML of a message for a frame: no scripts, and nothing is loaded.
///
/// The pictures of the message itself are in it as `data:` URLs. Answers 404 if there is no such message, or it has no
/// HTML.
#[utoipa::path(
    get,
    path = "/sheet/{id}",
    tag = "messages",
    params(("id" = String, Path, description = "Its id, or `latest`."), SheetQuery),
    responses((status = 200, body = String, content_type = "text/html"))
)]
pub(super) async fn sheet(
    State(running): AppState,
    Path(id): Path<String>,
    Query(SheetQuery { dark }): Query<SheetQuery>,
) -> Answer {
    let entry = find(&running, &id, &ListQuery::default()).await?;
    let bytes = catalogue(&running)?.message(&entry)?.to_bytes();
    let html = beside_others(bytes.len(), || {
        let parsed = MessageParser::default().parse(bytes.as_ref()).unwrap_or_default();
        let html = extract::html(&parsed);
        (!html.is_empty()).then(|| format!("{}{}", if dark { DARK_HEAD } else { HEAD }, caged(&parsed, &html)))
    });
    let mut response = inert("text/html; charset=utf-8", html.ok_or_else(Failure::not_found)?.into_bytes());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert("x-dns-prefetch-control", HeaderValue::from_static("off"));
    Ok(response)
}

/// Returns the HTML with `data:` URLs for the `cid:` URLs of the message's own pictures, up to [`MAX_PICTURE_BYTES`] in
/// all (others stay as they are), and with `x-` before the names of [`INERT_ELEMENTS`].
fn caged(message: &Message<'_>, html: &str) -> String {
    let pictures: Vec<_> = parts(message)
        .into_iter()
        .filter(|part| part.media_type().starts_with("image/"))
        .filter_map(|part| {
            let id = part.part.content_id().filter(|id| !id.is_empty())?;
            Some((id.to_owned(), part.media_type(), part.part.contents()))
        })
        .collect();
    let (mut out, mut rest, mut room) = (String::with_capacity(html.len()), html, MAX_PICTURE_BYTES);
    while let Some(at) = rest.bytes().position(|byte| matches!(byte, b'<' | b'c' | b'C')) {
        let (before, found) = rest.split_at(at);
        out.push_str(before);
        if let Some(name) = INERT_ELEMENTS.iter().find(|name| found.starts_with('<') && starts_with(&found[1..], name))
        {
            out.push_str("<x-");
            out.push_str(name);
            rest = &found[1 + name.len()..];
            continue;
        }
        let named = found.get(.."cid:".len()).filter(|start| start.eq_ignore_ascii_case("cid:")).and_then(|_| {
            let name = &found["cid:".len()..];
            pictures.iter().find(|(id, ..)| starts_with_id(name, id))
        });
        match named {
            Some((id, kind, bytes)) if bytes.len() <= room => {
                room -= bytes.len();
                out.push_str(&format!("data:{kind};base64,{}", STANDARD.encode(bytes)));
                rest = &found["cid:".len() + id.len()..];
            }
            _ => {
                out.push_str(&found[..1]);
                rest = &found[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// Whether a text begins with another one, whatever the case of ASCII letters.
fn starts_with(text: &str, start: &str) -> bool {
    text.get(..start.len()).is_some_and(|found| found.eq_ignore_ascii_case(start))
}

/// Whether a text begins with this id as a whole: `a@b.example` does not begin with `a@b`.
fn starts_with_id(text: &str, id: &str) -> bool {
    let after = text.strip_prefix(id).map(|rest| rest.chars().next());
    after.is_some_and(|next| next.is_none_or(|next| !next.is_alphanumeric() && !"@.-_".contains(next)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cage(html: &str) -> String {
        let text = format!(
            "Content-Type: multipart/related; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n{html}\r\n--b\r\n\
             Content-Type: image/gif\r\nContent-ID: <one@x>\r\n\r\nGIF89a\r\n--b\r\n\
             Content-Type: text/html\r\nContent-ID: <page@x>\r\n\r\n<p>\r\n--b--\r\n"
        );
        caged(&MessageParser::default().parse(text.as_bytes()).unwrap(), html)
    }

    #[test]
    fn sheet_has_its_own_pictures_and_no_other_part() {
        assert_eq!(cage("<img src=\"cid:one@x\">"), "<img src=\"data:image/gif;base64,R0lGODlh\">");
        assert_eq!(
            cage("<p style='background:url(CID:one@x)'>"),
            "<p style='background:url(data:image/gif;base64,R0lGODlh)'>"
        );
        for kept in ["cid:one@x.example", "cid:other@x", "cid:page@x", "cid:", "c\u{e4}d:", "c"] {
            assert_eq!(cage(kept), kept);
        }
    }

    #[test]
    fn sheet_with_links_to_other_hosts_connects_to_none() {
        assert_eq!(cage("<LINK rel=preconnect href=//x><lin k><a>"), "<x-link rel=preconnect href=//x><lin k><a>");
        assert_eq!(cage("<iframe src=//x><<Frameset>"), "<x-iframe src=//x><<x-frameset>");
    }
}
