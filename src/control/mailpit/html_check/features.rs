//! By what a document uses a feature. Most slugs say it: `css-gap` is the property `gap`, `html-table` the element; the others are
//! listed here.

use super::data::Feature;

/// The features whose slugs do not say it.
const USES: &[(&str, &[&str])] = &[
    (
        "css-animation",
        &[
            "property:animation",
            "property:animation-name",
            "property:animation-duration",
            "property:animation-timing-function",
            "property:animation-delay",
            "property:animation-iteration-count",
            "property:animation-direction",
            "property:animation-fill-mode",
            "property:animation-play-state",
        ],
    ),
    (
        "css-at-media-device-pixel-ratio",
        &[
            "media:-webkit-device-pixel-ratio",
            "media:-webkit-min-device-pixel-ratio",
            "media:-webkit-max-device-pixel-ratio",
        ],
    ),
    ("css-at-media-hover", &["media:hover", "media:any-hover"]),
    ("css-block-inline-size", &["property:block-size", "property:inline-size"]),
    (
        "css-border-radius",
        &[
            "property:border-radius",
            "property:border-top-left-radius",
            "property:border-top-right-radius",
            "property:border-bottom-left-radius",
            "property:border-bottom-right-radius",
        ],
    ),
    (
        "css-border-radius-logical",
        &[
            "property:border-start-start-radius",
            "property:border-start-end-radius",
            "property:border-end-start-radius",
            "property:border-end-end-radius",
        ],
    ),
    ("css-comments", &["comment:css"]),
    ("css-conic-gradient", &["function:conic-gradient", "function:repeating-conic-gradient"]),
    ("css-display-flex", &["value:display:flex", "value:display:inline-flex"]),
    ("css-display-grid", &["value:display:grid", "value:display:inline-grid"]),
    ("css-display-none", &["value:display:none"]),
    ("css-flex-direction", &["property:flex-direction", "property:flex-flow"]),
    ("css-flex-wrap", &["property:flex-wrap", "property:flex-flow"]),
    ("css-function-clamp", &["function:clamp"]),
    ("css-function-light-dark", &["function:light-dark"]),
    ("css-function-max", &["function:max"]),
    ("css-function-min", &["function:min"]),
    ("css-gap", &["property:gap", "property:column-gap", "property:row-gap"]),
    ("css-important", &["keyword:!important"]),
    ("css-inert-attribute", &["attribute:inert"]),
    (
        "css-intrinsic-size",
        &["keyword:fit-content", "function:fit-content", "keyword:min-content", "keyword:max-content"],
    ),
    ("css-left-right-top-bottom", &["property:left", "property:right", "property:top", "property:bottom"]),
    ("css-linear-gradient", &["function:linear-gradient", "function:repeating-linear-gradient"]),
    ("css-modern-color", &["function:lch", "function:oklch", "function:lab", "function:oklab"]),
    ("css-nesting", &["selector:nesting"]),
    (
        "css-padding",
        &[
            "property:padding",
            "property:padding-left",
            "property:padding-right",
            "property:padding-top",
            "property:padding-bottom",
        ],
    ),
    ("css-radial-gradient", &["function:radial-gradient", "function:repeating-radial-gradient"]),
    ("css-rgb", &["function:rgb"]),
    ("css-rgba", &["function:rgba"]),
    (
        "css-sytem-ui",
        &[
            "keyword:system-ui",
            "keyword:ui-serif",
            "keyword:ui-sans-serif",
            "keyword:ui-rounded",
            "keyword:ui-monospace",
        ],
    ),
    (
        "css-transition",
        &[
            "property:transition",
            "property:transition-property",
            "property:transition-duration",
            "property:transition-timing-function",
            "property:transition-delay",
        ],
    ),
    ("css-unit-calc", &["function:calc"]),
    ("css-unit-initial", &["keyword:initial"]),
    ("css-unit-percent", &["unit:%"]),
    ("css-variables", &["variable:css", "function:var"]),
    ("html-anchor-links", &["link:#"]),
    ("html-button-reset", &["button:reset"]),
    ("html-button-submit", &["button:submit"]),
    ("html-comments", &["comment:html"]),
    ("html-doctype", &["doctype:html"]),
    ("html-h1-h6", &["element:h1", "element:h2", "element:h3", "element:h4", "element:h5", "element:h6"]),
    ("html-image-maps", &["attribute:usemap"]),
    ("html-lists", &["element:ul", "element:ol", "element:dl"]),
    ("html-loading-attribute", &["attribute:loading"]),
    ("html-mailto-links", &["link:mailto"]),
    ("html-meta-color-scheme", &["meta:color-scheme"]),
    (
        "html-semantics",
        &[
            "element:article",
            "element:aside",
            "element:details",
            "element:figcaption",
            "element:figure",
            "element:footer",
            "element:header",
            "element:main",
            "element:mark",
            "element:nav",
            "element:section",
            "element:summary",
            "element:time",
        ],
    ),
    ("html-srcset", &["attribute:srcset", "attribute:sizes"]),
    // The address of a picture does not say what is in it.
    ("image-apng", &[]),
    ("image-mp4", &["image:mp4"]),
    ("image-base64", &["image:data"]),
    ("image-heif", &["image:heif", "image:heic"]),
    ("image-jpg", &["image:jpg", "image:jpeg"]),
    ("image-tiff", &["image:tiff", "image:tif"]),
];

/// The beginnings of other slugs, and the kinds of what follows.
const PREFIXES: [(&str, &str); 8] = [
    ("css-at-media-", "media"),
    ("css-at-", "at"),
    ("css-pseudo-class-", "pseudo"),
    ("css-pseudo-element-", "pseudo"),
    ("css-selector-", "selector"),
    ("css-unit-", "unit"),
    ("html-input-", "input"),
    ("image-", "image"),
];

/// Features of several properties, which are their keywords.
const LISTED: [&str; 15] = [
    "css-border",
    "css-border-inline-block",
    "css-border-inline-block-individual",
    "css-border-inline-block-longhand",
    "css-column-layout-properties",
    "css-grid-template",
    "css-inset",
    "css-margin",
    "css-margin-block-start-end",
    "css-margin-inline-block",
    "css-margin-inline-start-end",
    "css-overflow",
    "css-padding-block-start-end",
    "css-padding-inline-block",
    "css-padding-inline-start-end",
];

/// Returns the keys `KIND:NAME`, as in `property:gap`, of what counts as a use of the feature; `Usage` counts by them.
/// They are those in [`USES`]; else one by the slug's beginning in [`PREFIXES`]; else the property (with the keywords
/// for a slug in [`LISTED`]), attribute or element that the slug names after its first dash.
pub(super) fn usage_keys(Feature { slug, title, keywords, .. }: &Feature) -> Vec<String> {
    if let Some((_, uses)) = USES.iter().find(|(known, _)| known == slug) {
        return uses.iter().map(|usage| (*usage).to_owned()).collect();
    }
    if let Some((name, kind)) = PREFIXES.iter().find_map(|(prefix, kind)| Some((slug.strip_prefix(prefix)?, kind))) {
        return vec![format!("{kind}:{name}")];
    }
    match slug.split_once('-') {
        Some(("css", name)) => {
            let listed = keywords.split(", ").filter(|_| LISTED.contains(&slug.as_str()));
            std::iter::once(name).chain(listed).map(|name| format!("property:{name}")).collect()
        }
        Some((_, name)) if title.ends_with(" attribute") => vec![format!("attribute:{name}")],
        Some((_, name)) => vec![format!("element:{name}")],
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::data::Data;
    use super::*;

    fn uses_of(slug: &str) -> Vec<String> {
        let data = Data::read().unwrap();
        usage_keys(data.features.iter().find(|feature| feature.slug == slug).unwrap())
    }

    #[test]
    fn features_are_used_by_what_their_slugs_or_the_list_say() {
        assert_eq!(uses_of("css-border-spacing"), ["property:border-spacing"]);
        assert_eq!(uses_of("css-inset")[..2], ["property:inset", "property:inset-block"]);
        assert_eq!(uses_of("css-at-media-prefers-color-scheme"), ["media:prefers-color-scheme"]);
        assert_eq!(uses_of("css-pseudo-element-marker"), ["pseudo:marker"]);
        assert_eq!(uses_of("html-valign"), ["attribute:valign"]);
        assert_eq!(uses_of("html-video"), ["element:video"]);
        assert_eq!(uses_of("html-address"), ["element:address"]);
        assert_eq!(uses_of("image-webp"), ["image:webp"]);
    }

    /// After the data were renewed: what is listed is there, and what is new has a form that slugs of its kind have.
    #[test]
    fn features_of_the_data_are_all_known() {
        let data = Data::read().unwrap();
        assert!(300 < data.features.len() && !data.clients()["ios"].is_empty());
        let slugs: Vec<&str> = data.features.iter().map(|feature| feature.slug.as_str()).collect();
        for listed in USES.iter().map(|(slug, _)| *slug).chain(LISTED) {
            assert!(slugs.contains(&listed), "{listed} is not in the data any longer");
        }
        for Feature { slug, title, .. } in &data.features {
            let rest = PREFIXES.iter().find_map(|(prefix, _)| slug.strip_prefix(prefix));
            let name = rest.or_else(|| Some(slug.split_once('-')?.1)).unwrap_or_default();
            let is_listed = USES.iter().any(|(known, _)| known == slug) || LISTED.contains(&slug.as_str());
            let title = title.to_lowercase();
            let says = title.contains(name) || title.contains(&name.replace('-', " "));
            assert!(is_listed || says, "{title}: add {slug} to USES");
        }
    }
}
