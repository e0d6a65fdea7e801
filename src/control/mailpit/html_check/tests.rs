use super::*;

/// The slugs of the features that a document uses, with how often.
fn used(html: &str) -> BTreeMap<String, u64> {
    let data = Data::read().unwrap();
    let mut usage = Usage::of(&data.features);
    html::count(html, &mut usage);
    let counts = data.features.iter().map(|feature| (feature.slug.clone(), usage.count(feature)));
    counts.filter(|(_, found)| 0 < *found).collect()
}

fn assert_used(html: &str, expected: &[(&str, u64)]) {
    let expected: BTreeMap<String, u64> = expected.iter().map(|(slug, found)| ((*slug).to_owned(), *found)).collect();
    assert_eq!(used(html), expected, "{html}");
}

#[test]
fn html_check_finds_elements_and_attributes() {
    assert_used("<P Align=center>one<p>two</p>", &[("html-p", 2), ("html-align", 1)]);
    assert_used("<!DOCTYPE html><!-- <table> --><h2>", &[("html-doctype", 1), ("html-comments", 1), ("html-h1-h6", 1)]);
    assert_used(
        "<a href='#x' target=_blank><a href=mailto:a@x.test>",
        &[("html-anchor-links", 1), ("html-mailto-links", 1), ("html-target", 1)],
    );
    assert_used(
        "<input><input type=\"checkbox\" required/><button>",
        &[("html-input-text", 1), ("html-input-checkbox", 1), ("html-required", 1), ("html-button-submit", 1)],
    );
    assert_used(
        "<img src=http://x.test/a.WebP?1 width=1><img src='data:image/png;base64,A'>",
        &[("html-img", 2), ("html-width", 1), ("image-webp", 1), ("image-base64", 1)],
    );
    assert_used("a < b <title><video></title><textarea><form></textarea> <x", &[("html-textarea", 1)]);
}

#[test]
fn html_check_finds_styles_of_attributes_and_sheets() {
    assert_used(
        "<x style='GAP:1em;font-family:&quot;a;opacity:1&quot;; display: none !important'>",
        &[("css-gap", 1), ("css-unit-em", 1), ("css-display", 1), ("css-display-none", 1), ("css-important", 1)],
    );
    let sheet = "<style><!-- /* opacity:1 */ @import url(x.css);
        @media (prefers-color-scheme: dark) and (hover) { .a.b > p:hover, a { margin: -1px calc(1vw + 2%) } }
        @keyframes k { from { opacity: 0 } to { opacity: 1 } } } i { background: url('a;b}.png') }
        --></style><b>";
    assert_used(
        sheet,
        &[
            ("html-style", 1),
            ("css-comments", 1),
            ("css-at-import", 1),
            ("css-at-media", 1),
            ("css-at-media-prefers-color-scheme", 1),
            ("css-at-media-hover", 1),
            ("css-selector-class", 2),
            ("css-selector-chaining", 1),
            ("css-selector-child", 1),
            ("css-selector-type", 3),
            ("css-selector-grouping", 1),
            ("css-pseudo-class-hover", 1),
            ("css-margin", 1),
            ("css-unit-px", 1),
            ("css-unit-calc", 1),
            ("css-unit-vw", 1),
            ("css-unit-percent", 1),
            ("css-at-keyframes", 1),
            ("css-opacity", 2),
            ("css-background", 1),
            ("image-png", 1),
        ],
    );
    assert_used(
        "<style>#a:not([x=')'] *):first-child + b ~ c d { --x: { ; } color: var(--x); & i { left: 0 } }</style>",
        &[
            ("html-style", 1),
            ("css-selector-id", 1),
            ("css-pseudo-class-not", 1),
            ("css-selector-attribute", 1),
            ("css-selector-universal", 1),
            ("css-selector-descendant", 3),
            ("css-pseudo-class-first-child", 1),
            ("css-selector-adjacent-sibling", 1),
            ("css-selector-general-sibling", 1),
            ("css-selector-type", 4),
            ("css-variables", 1),
            ("css-nesting", 1),
            ("css-left-right-top-bottom", 1),
        ],
    );
}

#[test]
fn html_check_reads_what_is_not_closed_or_too_deep_in_a_moment() {
    let long = |text: &str| text.repeat(200_000 / text.len());
    for begin in ["", "<style>", "<p style='", "<style>a{", "<p style=\"a:"] {
        for text in [
            "<", "</", "<!--", "{", "a{", "(", "\"", "'", "/*", "@media(", ":not(", "[", ":", ";", "\\", "ä", "&quot;",
            "!", "-1", "url(",
        ] {
            let document = format!("{begin}{}", long(text));
            let began = tokio::time::Instant::now();
            used(&document);
            assert!(began.elapsed().as_secs() < 5, "{begin} {text}");
        }
    }
}

#[test]
fn html_check_weighs_warnings_and_says_what_clients_support() {
    let checked = check_html("<html><body><p>a<p>b<p style=\"clip-path:none\">c").unwrap();
    assert_eq!((checked.total.nodes, checked.total.tests), (4, Data::read().unwrap().features.len()));
    let clip = checked.warnings.iter().find(|warning| warning.slug == "css-clip-path").unwrap();
    assert_eq!((clip.score.found, clip.url.as_str()), (1, "https://www.caniemail.com/features/css-clip-path/"));
    let sum = clip.score.supported + clip.score.partial + clip.score.unsupported;
    assert!((sum - 100.0).abs() < 0.01 && 0.0 < clip.score.unsupported, "{:?}", clip.score);
    assert!(checked.total.unsupported >= clip.score.unsupported / 4.0 && checked.total.supported < 100.0);
    let gmail = clip.results.iter().find(|result| result.family == "gmail" && result.platform == "ios").unwrap();
    assert_eq!((gmail.support, gmail.name.starts_with("Gmail iOS (")), ("no", true));
    assert!(checked.platforms["desktop-webmail"].contains("Gmail"));
    let weights = checked.warnings.iter().map(|it| (it.score.partial + it.score.unsupported) * it.score.found as f64);
    assert!(weights.collect::<Vec<_>>().is_sorted_by(|one, next| one >= next));
}
