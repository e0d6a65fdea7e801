//! Dates in the form of IMAP: `17-Jul-1996 02:44:25 -0700`. RFC 9051 §9 (date-time, date).

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};

pub(super) const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Parses `date-time` without its quotes; the day may be padded with a space, and a leap second is read as the second
/// before it. `None` if it is invalid.
pub fn parse_date_time(text: &str) -> Option<Timestamp> {
    let (date, rest) = text.trim_start_matches(' ').split_once(' ')?;
    let (time, zone) = rest.split_once(' ')?;
    let date = parse_date(date)?;
    let mut parts = time.split(':').map(|part| digits(part, 2));
    let (Some(hour), Some(minute), Some(second), None) = (parts.next()?, parts.next()?, parts.next()?, parts.next())
    else {
        return None;
    };
    let second = if second == 60 { 59 } else { second };
    let time = DateTime::new(date.year(), date.month(), date.day(), hour as i8, minute as i8, second as i8, 0).ok()?;
    parse_zone(zone)?.to_timestamp(time).ok()
}

/// Parses the offset `+hhmm` or `-hhmm`; `None` for any other text.
fn parse_zone(zone: &str) -> Option<Offset> {
    let (sign, hhmm) = zone.split_at_checked(1)?;
    let hhmm = digits(hhmm, 4).filter(|hhmm| hhmm % 100 < 60)? as i32;
    let seconds = (hhmm / 100) * 3600 + (hhmm % 100) * 60;
    Offset::from_seconds(match sign {
        "+" => seconds,
        "-" => -seconds,
        _ => return None,
    })
    .ok()
}

/// Parses `date-text`, as in `1-Feb-1994`, with the month in any case; `None` if it is invalid.
pub fn parse_date(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || day.is_empty() || 2 < day.len() {
        return None;
    }
    let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))? + 1;
    Date::new(digits(year, 4)? as i16, month as i8, digits(day, day.len())? as i8).ok()
}

/// Parses a number of exactly `len` ASCII digits; `None` for any other text, and above 65,535.
pub(super) fn digits(text: &str, len: usize) -> Option<u16> {
    (text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// Returns a time as the 26 characters of `date-time` without its quotes, in UTC, with two digits for the day. The year
/// is limited to 0 to 9999.
pub fn format_date_time(time: Timestamp) -> [u8; 26] {
    let time = Offset::UTC.to_datetime(time);
    let mut text = *b"00-Jan-0000 00:00:00 +0000";
    let mut put = |at: usize, value: i16| {
        text[at] = b'0' + (value / 10 % 10) as u8;
        text[at + 1] = b'0' + (value % 10) as u8;
    };
    // Only years of four digits can be written.
    let year = time.year().clamp(0, 9999);
    put(0, time.day().into());
    put(7, year / 100);
    put(9, year % 100);
    put(12, time.hour().into());
    put(15, time.minute().into());
    put(18, time.second().into());
    text[3..6].copy_from_slice(MONTHS[time.month() as usize - 1].as_bytes());
    text
}

/// Returns the day of a time for `SINCE` and similar keys: that in UTC, as [`format_date_time`] writes it.
pub fn day_of(time: Timestamp) -> Date {
    time.to_zoned(TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn date_time_is_written_in_utc() {
        let time = parse_date_time("17-Jul-1996 02:44:25 -0700").unwrap();
        assert_eq!(&format_date_time(time), b"17-Jul-1996 09:44:25 +0000");
        assert_eq!(parse_date_time(" 1-jan-2024 00:00:61 +0530"), None);
        assert_eq!(parse_date_time(" 1-jan-2024 00:00:60 +0530").unwrap().to_string(), "2023-12-31T18:30:59Z");
        assert_eq!(day_of(time), Date::constant(1996, 7, 17));
    }

    #[test]
    fn date_when_invalid_is_refused() {
        for text in [
            "",
            "17-Jul-1996",
            "17-Jul-1996 02:44 +0000",
            "17-Jul-1996 02:44:25",
            "17-Jul-1996 02:44:25 0000",
            "31-Feb-1996 02:44:25 +0000",
            "17-Jul-96 02:44:25 +0000",
            "17-Jul-1996 25:44:25 +0000",
            "17-Jul-1996 02:44:25 +9999",
            "17-\u{4e8c}-1996 02:44:25 \u{ff0b}0000",
        ] {
            assert_eq!(parse_date_time(text), None, "{text}");
        }
        for text in ["1-Feb", "123-Feb-1994", "-Feb-1994", "1-Feb-1994-2", "30-Feb-1994"] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }
}
