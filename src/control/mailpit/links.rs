//! Judges the links of a message by their form; nothing is fetched.

use axum::Json;
use axum::extract::{Path, Query, State};
use mail_parser::MessageParser;
use serde::Serialize;
use url::Url;

use super::list::ListQuery;
use super::message::find;
use super::{Answer, AppState, catalogue, extract};
use crate::world::World;

/// The most links that are judged.
const MAX_LINKS: usize = 100;

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct LinkCheck {
    errors: usize,
    links: Vec<Link>,
}

#[derive(Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "PascalCase")]
struct Link {
    #[serde(rename = "URL")]
    url: String,
    /// 200 for a host of this world; 0 for what is not known.
    status_code: u16,
    status: &'static str,
}

/// Judges the links of a message by their form.
///
/// The first 100 that begin with `http`; nothing is fetched. `Errors` is the number of those that are no valid URL.
#[utoipa::path(
    get,
    path = "/api/v1/message/{id}/link-check",
    tag = "messages",
    params(("id" = String, Path, description = "The id of a message, or `latest`."), ListQuery),
    responses((status = 200, body = LinkCheck))
)]
pub(super) async fn check(
    State(running): AppState,
    Path(id): Path<String>,
    Query(query): Query<ListQuery>,
) -> Answer<Json<LinkCheck>> {
    let entry = find(&running, &id, &query).await?;
    let bytes = catalogue(&running)?.message(&entry)?.to_bytes();
    let parsed = MessageParser::default().parse(bytes.as_ref()).unwrap_or_default();
    let found = extract::links(&extract::html(&parsed), &extract::text(&parsed));
    let web = found.into_iter().filter(|link| link.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("http")));
    let links: Vec<Link> = web.take(MAX_LINKS).map(|url| judge(&running.env.world, url)).collect();
    Ok(Json(LinkCheck { errors: links.iter().filter(|link| link.status == INVALID).count(), links }))
}

const INVALID: &str = "Invalid URL";

/// Returns the link to this URL with its judgement: 200 if its host is a domain or host of this world, `localhost` or
/// under `.test`; 0 if it is another one, or the URL is invalid, which `status` distinguishes.
fn judge(world: &World, url: String) -> Link {
    let host = Url::parse(&url).ok().and_then(|url| url.host_str().map(str::to_owned));
    let is_ours = |name: &str| {
        let name = name.trim_end_matches('.');
        let has_fqdn = || world.hosts.values().any(|host| host.fqdn.eq_ignore_ascii_case(name));
        world.domains.contains_key(name) || has_fqdn() || name == "localhost" || name.ends_with(".test")
    };
    let (status_code, status) = match host {
        None => (0, INVALID),
        Some(name) if is_ours(&name) => (200, "OK"),
        Some(_) => (0, "not fetched: outside of this world"),
    };
    Link { url, status_code, status }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_judged_without_fetching_them() {
        let world = World::journey();
        let status = |url: &str| judge(&world, url.to_owned()).status;
        assert_eq!(status("https://sina.test/x"), "OK");
        assert_eq!(status("https://example.com/x"), "not fetched: outside of this world");
        assert_eq!(status("http://"), INVALID);
    }
}
