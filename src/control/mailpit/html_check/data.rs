//! What mail clients support: the data of <https://www.caniemail.com>, which `renew-caniemail` renews from npm.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use flate2::read::ZlibDecoder;
use serde::Deserialize;

/// JSON, compressed (zlib).
const COMPRESSED: &[u8] = include_bytes!("caniemail.json.zz");

/// The data.
#[derive(Debug, Deserialize)]
pub(super) struct Data {
    /// The names of families of clients, such as `Gmail`.
    pub(super) families: BTreeMap<String, String>,
    /// The names of platforms, such as `Desktop Webmail`.
    pub(super) platforms: BTreeMap<String, String>,
    pub(super) features: Vec<Feature>,
}

/// What a message may use.
#[derive(Debug, Deserialize)]
pub(super) struct Feature {
    pub(super) slug: String,
    pub(super) title: String,
    /// HTML.
    pub(super) description: String,
    /// `css`, `html` or `image`.
    pub(super) category: String,
    pub(super) tags: Vec<String>,
    pub(super) keywords: String,
    pub(super) stats: Vec<Client>,
    /// HTML, by number.
    pub(super) notes: BTreeMap<String, String>,
}

/// A family, a platform, and for its versions whether they support the feature: `y`, `n`, `a` in part, `u` unknown; with
/// the numbers of notes, as `a #1 #2`.
#[derive(Debug, Deserialize)]
pub(super) struct Client(pub(super) String, pub(super) String, pub(super) Vec<(String, String)>);

impl Data {
    /// Unpacks the data in this program, which takes some milliseconds; they are not kept, since few requests need
    /// them.
    ///
    /// # Errors
    /// The file of this build is damaged.
    pub(super) fn read() -> Result<Self, String> {
        let mut json = Vec::new();
        ZlibDecoder::new(COMPRESSED).read_to_end(&mut json).map_err(|error| error.to_string())?;
        serde_json::from_slice(&json).map_err(|error| error.to_string())
    }

    /// Returns the names of the families of clients of each platform, by the key of the platform, such as `ios`.
    pub(super) fn clients(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut clients: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for Client(family, platform, _) in self.features.iter().flat_map(|feature| &feature.stats) {
            clients.entry(platform.clone()).or_default().insert(name_of(&self.families, family).to_owned());
        }
        clients
    }
}

/// Returns the name that a key has in `names`; the key itself if it has none.
pub(super) fn name_of<'a>(names: &'a BTreeMap<String, String>, key: &'a str) -> &'a str {
    names.get(key).map_or(key, String::as_str)
}
