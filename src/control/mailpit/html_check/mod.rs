//! Which mail clients show the HTML of a message as it is meant: what it uses is looked up in the data of caniemail.com.
//!
//! ```text
//! HTML ─▶ html, css ─▶ usage: how often each feature is used ─┐
//! caniemail.json.zz ─▶ data ─▶ features: by what it is used ──┴─▶ warnings, worst first
//! ```
//!
//! Nothing is fetched: style sheets of other servers are not looked at.

mod css;
mod data;
mod features;
mod html;
#[cfg(test)]
mod tests;
mod usage;

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::{Path, Query, State};
use mail_parser::MessageParser;
use serde::Serialize;

use super::list::ListQuery;
use super::message::find;
use super::{Answer, AppState, Failure, catalogue, extract};
use crate::sync::beside_others;
use data::{Client, Data, Feature, name_of};
use usage::Usage;

/// Which clients show a message as it is meant.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HtmlCheck {
    /// The families of mail clients of each platform.
    platforms: BTreeMap<String, BTreeSet<String>>,
    total: Total,
    /// Features that not all clients support, worst first.
    warnings: Vec<Warning>,
}

/// Shares in percent: the largest of a warning, weighted by how often its feature is used.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "PascalCase")]
struct Total {
    /// Features that were looked for.
    tests: usize,
    /// Elements of the document.
    nodes: u64,
    supported: f64,
    partial: f64,
    unsupported: f64,
}

/// A feature that some clients do not support.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "PascalCase")]
struct Warning {
    slug: String,
    title: String,
    /// HTML.
    description: String,
    #[serde(rename = "URL")]
    url: String,
    /// `css`, `html` or `image`.
    category: String,
    tags: Vec<String>,
    keywords: String,
    results: Vec<Support>,
    /// HTML, by number.
    notes_by_number: BTreeMap<String, String>,
    score: Score,
}

/// Whether a version of a client supports a feature.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "PascalCase")]
struct Support {
    name: String,
    platform: String,
    family: String,
    version: String,
    /// `yes`, `no` or `partial`.
    support: &'static str,
    note_number: String,
}

/// Shares of the clients in percent.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "PascalCase")]
struct Score {
    /// How often the message uses it.
    found: u64,
    supported: f64,
    partial: f64,
    unsupported: f64,
}

/// Which mail clients show the HTML of a message as it is meant, by the data of caniemail.com; nothing is fetched.
///
/// Answers 400 if the message has no HTML.
#[utoipa::path(
    get,
    path = "/api/v1/message/{id}/html-check",
    tag = "messages",
    params(("id" = String, Path, description = "The id of a message, or `latest`."), ListQuery),
    responses((status = 200, body = HtmlCheck))
)]
pub(super) async fn check(
    State(running): AppState,
    Path(id): Path<String>,
    Query(query): Query<ListQuery>,
) -> Answer<Json<HtmlCheck>> {
    let entry = find(&running, &id, &query).await?;
    let bytes = catalogue(&running)?.message(&entry)?.to_bytes();
    let checked = beside_others(bytes.len(), || {
        let parsed = MessageParser::default().parse(bytes.as_ref()).unwrap_or_default();
        let html = extract::html(&parsed);
        (!html.trim().is_empty()).then(|| check_html(&html))
    });
    let checked = checked.ok_or_else(|| Failure::invalid("message does not contain HTML"))?;
    Ok(Json(checked.map_err(Failure::internal)?))
}

/// Checks a document for all features of the data. The warnings, of features that it uses and some clients do not
/// support, come with the greatest loss first, weighted by how often the feature is used.
///
/// # Errors
/// The data are damaged.
fn check_html(html: &str) -> Result<HtmlCheck, String> {
    let data = Data::read()?;
    let mut usage = Usage::of(&data.features);
    html::count(html, &mut usage);
    let nodes = usage.nodes;
    let used = data.features.iter().map(|feature| (feature, usage.count(feature))).filter(|(_, found)| 0 < *found);
    let mut warnings: Vec<_> = used.map(|(feature, found)| Warning::of(&data, feature, found)).collect();
    warnings.retain(|warning| 0.0 < warning.score.partial + warning.score.unsupported);
    let weighted = |score: &Score, share: f64| share * (score.found as f64 / nodes.max(1) as f64).min(1.0);
    let weight = |warning: &Warning| weighted(&warning.score, warning.score.partial + warning.score.unsupported);
    // Stable: equal ones are in the order of the data.
    warnings.sort_by(|one, other| weight(other).total_cmp(&weight(one)));
    let partial = warnings.iter().map(|it| weighted(&it.score, it.score.partial)).fold(0.0, f64::max);
    let unsupported = warnings.iter().map(|it| weighted(&it.score, it.score.unsupported)).fold(0.0, f64::max);
    let supported = (100.0 - partial - unsupported).max(0.0);
    let total = Total { tests: data.features.len(), nodes, supported, partial, unsupported };
    Ok(HtmlCheck { platforms: data.clients(), total, warnings })
}

impl Warning {
    /// The warning for a feature that a message uses `found` times; shares are of the versions whose support is known.
    fn of(data: &Data, feature: &Feature, found: u64) -> Self {
        let results: Vec<_> = feature.stats.iter().flat_map(|client| supports(data, client)).collect();
        let share = |support: &str| {
            let count = results.iter().filter(|result| result.support == support).count();
            100.0 * count as f64 / results.len().max(1) as f64
        };
        let (supported, partial, unsupported) = (share("yes"), share("partial"), share("no"));
        Self {
            slug: feature.slug.clone(),
            title: feature.title.clone(),
            description: feature.description.clone(),
            url: format!("https://www.caniemail.com/features/{}/", feature.slug),
            category: feature.category.clone(),
            tags: feature.tags.clone(),
            keywords: feature.keywords.clone(),
            notes_by_number: feature.notes.clone(),
            score: Score { found, supported, partial, unsupported },
            results,
        }
    }
}

/// Returns whether each version of a client supports a feature, with the number of the first note; versions of which it
/// is not known are left out.
fn supports(data: &Data, Client(family, platform, versions): &Client) -> Vec<Support> {
    let one = |(version, code): &(String, String)| {
        let mut words = code.split_whitespace();
        let support = match words.next()? {
            "y" => "yes",
            "n" => "no",
            "a" => "partial",
            _ => return None,
        };
        let (client, system) = (name_of(&data.families, family), name_of(&data.platforms, platform));
        Some(Support {
            name: format!("{client} {system} ({version})"),
            platform: platform.clone(),
            family: family.clone(),
            version: version.clone(),
            support,
            note_number: words.next().unwrap_or_default().trim_start_matches('#').to_owned(),
        })
    };
    versions.iter().filter_map(one).collect()
}
