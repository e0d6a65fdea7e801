//! The items of `FETCH`. RFC 9051 §6.4.5, §9 (fetch-att, section), RFC 3501 §6.4.5.

use super::scanner::Scanner;
use super::{Parsed, bad};
use crate::imap::fetch::{BodyName, Item, Section, SectionText};

/// Most items of one `FETCH`.
const MAX_ITEMS: usize = 100;
/// Most header fields of one section.
const MAX_FIELDS: usize = 500;

/// Parses the items of `FETCH` with the space before them: one, several in parentheses, or a macro, which is expanded.
/// For `UID FETCH`, `UID` is put first if it is missing.
pub(super) fn items(scanner: &mut Scanner<'_>, is_uid_fetch: bool) -> Parsed<Vec<Item>> {
    scanner.space()?;
    let mut items = if scanner.eat("(") {
        items_until_parenthesis(scanner)?
    } else if let Some(list) = macro_items(scanner) {
        list
    } else {
        vec![item(scanner)?]
    };
    // RFC 9051 §6.4.9: UID FETCH always returns the UID.
    if is_uid_fetch && !items.contains(&Item::Uid) {
        items.insert(0, Item::Uid);
    }
    Ok(items)
}

/// Parses items up to and including `)`, at least one; the `(` was read. NOTIFY has the same list.
pub(super) fn items_until_parenthesis(scanner: &mut Scanner<'_>) -> Parsed<Vec<Item>> {
    let mut items = Vec::new();
    if scanner.peek() == Some(b')') {
        return bad("An item is missing");
    }
    loop {
        items.push(item(scanner)?);
        if MAX_ITEMS < items.len() {
            return bad("Too many items");
        }
        if scanner.eat(")") {
            return Ok(items);
        }
        scanner.space()?;
    }
}

/// Parses the macro that comes next, and returns its items; `None`, and nothing is taken, if none comes. RFC 9051
/// §6.4.5: macros are not allowed in lists.
fn macro_items(scanner: &mut Scanner<'_>) -> Option<Vec<Item>> {
    let fast = [Item::Flags, Item::InternalDate, Item::Size];
    let more: &[Item] = if scanner.eat("ALL") {
        &[Item::Envelope]
    } else if scanner.eat("FULL") {
        &[Item::Envelope, Item::BodyStructure { extensible: false }]
    } else if scanner.eat("FAST") {
        &[]
    } else {
        return None;
    };
    Some([&fast, more].concat())
}

/// Parses one item, with its section and range; an error if it is unknown. The items `RFC822`, `RFC822.HEADER` and
/// `RFC822.TEXT` are sections that keep their name.
fn item(scanner: &mut Scanner<'_>) -> Parsed<Item> {
    let rfc822 = |name, text, peek| Item::Body { section: Section { part: vec![], text }, peek, partial: None, name };
    Ok(match scanner.word()?.as_str() {
        "ENVELOPE" => Item::Envelope,
        "FLAGS" => Item::Flags,
        "INTERNALDATE" => Item::InternalDate,
        "UID" => Item::Uid,
        "MODSEQ" => Item::ModSeq,
        "SAVEDATE" => Item::SaveDate,
        "EMAILID" => Item::EmailId,
        "THREADID" => Item::ThreadId,
        "PREVIEW" => preview(scanner),
        "RFC822.SIZE" => Item::Size,
        "RFC822" => rfc822(BodyName::Rfc822, SectionText::All, false),
        "RFC822.HEADER" => rfc822(BodyName::Rfc822Header, SectionText::Header, true),
        "RFC822.TEXT" => rfc822(BodyName::Rfc822Text, SectionText::Text, false),
        "BODYSTRUCTURE" => Item::BodyStructure { extensible: true },
        "BODY" if scanner.peek() != Some(b'[') => Item::BodyStructure { extensible: false },
        "BODY" => body(scanner, false)?,
        "BODY.PEEK" => body(scanner, true)?,
        "BINARY" => binary(scanner, false)?,
        "BINARY.PEEK" => binary(scanner, true)?,
        "BINARY.SIZE" => Item::BinarySize(binary_part(scanner)?),
        _ => return bad("Unknown item"),
    })
}

/// Parses what is behind `PREVIEW`: `(LAZY)` is skipped. RFC 8970 §3.1, §3.2: previews are precomputed, so LAZY makes
/// no difference.
fn preview(scanner: &mut Scanner<'_>) -> Item {
    let _ = scanner.eat(" (LAZY)");
    Item::Preview
}

/// Parses what is behind `BODY`, or with `peek` behind `BODY.PEEK`: a section in brackets, and optionally a range.
fn body(scanner: &mut Scanner<'_>, peek: bool) -> Parsed<Item> {
    let section = section(scanner)?;
    Ok(Item::Body { section, peek, partial: partial(scanner)?, name: BodyName::Body })
}

/// Parses what is behind `BINARY`, or with `peek` behind `BINARY.PEEK`: part numbers in brackets, and optionally a
/// range.
fn binary(scanner: &mut Scanner<'_>, peek: bool) -> Parsed<Item> {
    let part = binary_part(scanner)?;
    Ok(Item::Binary { part, peek, partial: partial(scanner)? })
}

/// Parses part numbers in brackets, none for the whole message. RFC 9051 §9 (section-binary).
fn binary_part(scanner: &mut Scanner<'_>) -> Parsed<Vec<u32>> {
    scanner.expect("[", "A section in brackets is missing")?;
    let part = if scanner.peek() == Some(b']') { vec![] } else { part_numbers(scanner)? };
    if !scanner.eat("]") {
        return bad("A section of BINARY contains only numbers");
    }
    Ok(part)
}

/// Parses a section with its brackets, as in `[1.2.HEADER]`. RFC 9051 §9 (section).
fn section(scanner: &mut Scanner<'_>) -> Parsed<Section> {
    scanner.expect("[", "A section in brackets is missing")?;
    let part = part_numbers(scanner)?;
    let text = match scanner.peek() {
        Some(b']') => SectionText::All,
        _ => section_text(scanner, &part)?,
    };
    scanner.expect("]", "A closing bracket is missing")?;
    Ok(Section { part, text })
}

/// Parses part numbers such as `1.2.3`, or none, at most `MAX_PART_DEPTH`. Takes the dot behind the last number if a
/// word such as `MIME` follows; a dot before `]` is an error.
fn part_numbers(scanner: &mut Scanner<'_>) -> Parsed<Vec<u32>> {
    let mut part = Vec::new();
    while scanner.peek().is_some_and(|byte| byte.is_ascii_digit()) {
        part.push(scanner.nonzero()?.get());
        if MAX_PART_DEPTH < part.len() {
            return bad("Too many part numbers");
        }
        if !scanner.eat(".") {
            if scanner.peek() != Some(b']') {
                return bad("A closing bracket is missing");
            }
            return Ok(part);
        }
    }
    if scanner.peek() == Some(b']') && !part.is_empty() {
        return bad("The section ends in a dot");
    }
    Ok(part)
}

/// Most part numbers of one section; no parsed message nests deeper.
const MAX_PART_DEPTH: usize = 200;

/// Parses the word of a section behind its part numbers `part`, and the names of fields that follow; an error if it is
/// unknown, or is `MIME` without part numbers.
fn section_text(scanner: &mut Scanner<'_>, part: &[u32]) -> Parsed<SectionText> {
    Ok(match scanner.word()?.as_str() {
        "HEADER" => SectionText::Header,
        "TEXT" => SectionText::Text,
        "MIME" if !part.is_empty() => SectionText::Mime,
        "HEADER.FIELDS" => header_fields(scanner, false)?,
        "HEADER.FIELDS.NOT" => header_fields(scanner, true)?,
        _ => return bad("Unknown section"),
    })
}

/// Parses the names of fields in parentheses, with the space before them, at least one and at most `MAX_FIELDS`; `not`
/// is set for `HEADER.FIELDS.NOT`.
fn header_fields(scanner: &mut Scanner<'_>, not: bool) -> Parsed<SectionText> {
    scanner.space()?;
    let mut names = Vec::new();
    scanner.list(|scanner| {
        names.push(scanner.text()?);
        if names.len() <= MAX_FIELDS { Ok(()) } else { bad("Too many fields") }
    })?;
    if names.is_empty() { bad("A field name is missing") } else { Ok(SectionText::HeaderFields { not, names }) }
}

/// Parses the offset and the length, which is not 0, in `<offset.length>`; `None` if no `<` comes next. RFC 9051 §9
/// (partial).
fn partial(scanner: &mut Scanner<'_>) -> Parsed<Option<(u32, u32)>> {
    if !scanner.eat("<") {
        return Ok(None);
    }
    let first = scanner.number32()?;
    scanner.expect(".", "The number of bytes is missing")?;
    let count = scanner.nonzero()?.get();
    scanner.expect(">", "A closing angle bracket is missing")?;
    Ok(Some((first, count)))
}
