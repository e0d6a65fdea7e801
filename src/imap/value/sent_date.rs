//! Parses the Date field of a message: RFC 5322 §3.3, the obsolete forms of §4.3, and common invalid forms.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;

use super::date::{MONTHS, digits};
use crate::imap::comments::without_comments;

/// Most words of a Date field that are parsed; a valid one has six.
const MAX_WORDS: usize = 16;
/// The days of the week, which are ignored.
const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Named zones, in hours east of UTC; other names are UTC. RFC 5322 §4.3.
const ZONES: [(&str, i8); 8] =
    [("EDT", -4), ("EST", -5), ("CDT", -5), ("CST", -6), ("MDT", -6), ("MST", -7), ("PDT", -7), ("PST", -8)];

/// When a message was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SentDate {
    /// The day in the zone of the field. RFC 9051 §6.4.4 disregards time and zone.
    pub(crate) day: Date,
    /// The time, in seconds since 1970.
    pub(crate) timestamp: i64,
}

impl SentDate {
    /// Parses the value of a Date field. A missing or invalid time is midnight, a missing or invalid zone is UTC.
    /// `None` without a valid day, month and year.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = without_comments(text);
        let mut parts = Parts::default();
        text.split([' ', '\t', ',']).filter(|word| !word.is_empty()).take(MAX_WORDS).for_each(|word| parts.take(word));
        let day = Date::new(parts.year?, parts.month?, parts.day?).ok()?;
        let moment = DateTime::from_parts(day, parts.time.unwrap_or_default());
        let zone = parts.zone.unwrap_or(Offset::UTC);
        Some(Self { day, timestamp: zone.to_timestamp(moment).ok()?.as_second() })
    }
}

/// The parts found, in any order: `1 Jan 2026 10:00 +0100`, `Thu Jan  1 10:00:00 CET 2026`.
#[derive(Default)]
struct Parts {
    day: Option<i8>,
    month: Option<i8>,
    year: Option<i16>,
    time: Option<Time>,
    zone: Option<Offset>,
}

impl Parts {
    /// Reads a word as the first of these that it can be: day, year, zone, time, name of a month or zone. Sets that
    /// part unless it is set. Other words are ignored; one with `-` inside, as in `1-Jan-2026`, is several words.
    fn take(&mut self, word: &str) {
        let is_number = word.bytes().all(|byte| byte.is_ascii_digit());
        if is_number && self.day.is_none() && word.len() <= 2 {
            self.day = word.parse().ok();
        } else if is_number && self.year.is_none() {
            self.year = year(word);
        } else if word.starts_with(['+', '-']) {
            self.zone = self.zone.or_else(|| offset(word));
        } else if word.contains(':') {
            self.time = self.time.or_else(|| time(word));
        } else if word.contains('-') {
            // 1-Jan-2026
            word.split('-').for_each(|word| self.take(word));
        } else if word.starts_with(|char: char| char.is_ascii_alphabetic()) {
            self.take_name(word);
        }
    }

    /// Reads the name of a month, which may be written in full, or of a zone, and sets that unless it is set; weekdays
    /// and unknown names are ignored.
    fn take_name(&mut self, word: &str) {
        let Some(start) = word.get(..3) else { return };
        if WEEKDAYS.iter().any(|day| day.eq_ignore_ascii_case(start)) {
            return;
        }
        match MONTHS.iter().position(|month| month.eq_ignore_ascii_case(start)) {
            Some(at) if self.month.is_none() => self.month = Some(at as i8 + 1),
            _ => {
                let hours = ZONES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, hours)| *hours);
                self.zone = self.zone.or_else(|| Offset::from_hours(hours?).ok());
            }
        }
    }
}

/// Returns the year that these digits mean; `None` if there are not two to four. RFC 5322 §4.3: two digits are a year
/// from 1950 to 2049, three are added to 1900.
fn year(digits: &str) -> Option<i16> {
    let number: i16 = digits.parse().ok()?;
    match digits.len() {
        2 if number < 50 => Some(2000 + number),
        2 | 3 => Some(1900 + number),
        4 => Some(number),
        _ => None,
    }
}

/// Reads `10:00` or `10:00:00`; seconds above 59, such as a leap second, become 59, and what is not a number 0. `None`
/// without a valid hour and minute.
fn time(word: &str) -> Option<Time> {
    let mut parts = word.split(':').map(|part| part.parse::<i8>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next().flatten().unwrap_or(0));
    Time::new(hour, minute, second.min(59), 0).ok()
}

/// Reads `+0100` or `-05:00`; `None` if there are not four digits, or the minutes are above 59.
fn offset(word: &str) -> Option<Offset> {
    let (sign, rest) = word.split_at_checked(1)?;
    let hhmm = i32::from(digits(&rest.replace(':', ""), 4)?);
    if 59 < hhmm % 100 {
        return None;
    }
    let seconds = (hhmm / 100) * 3600 + (hhmm % 100) * 60;
    Offset::from_seconds(if sign == "-" { -seconds } else { seconds }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_reads_dates_of_rfc_5322_and_of_common_programs() {
        for (text, day, moment) in [
            ("Fri, 21 Nov 1997 09:55:06 -0600", "1997-11-21", "1997-11-21T15:55:06Z"),
            ("Tue, 1 Jul 2003 10:52:37 +0200", "2003-07-01", "2003-07-01T08:52:37Z"),
            ("Thu, 13 Feb 1969 23:32 -0330 (Newfoundland Time)", "1969-02-13", "1969-02-14T03:02:00Z"),
            ("21 Nov 97 09:55:06 GMT", "1997-11-21", "1997-11-21T09:55:06Z"),
            ("1 Jul 03 10:00:00 EST", "2003-07-01", "2003-07-01T15:00:00Z"),
            ("Tue, 1 Jul 103 10:52:37 +0200", "2003-07-01", "2003-07-01T08:52:37Z"),
            ("Tue, 1 Jul 2003 10:52:37", "2003-07-01", "2003-07-01T10:52:37Z"),
            ("Fri (day), 21(a (b))Nov 1997 09:55:06 -0600", "1997-11-21", "1997-11-21T15:55:06Z"),
            ("Thu Jan  1 00:00:00 2026", "2026-01-01", "2026-01-01T00:00:00Z"),
            ("Thu Jan  1 00:00:00 PST 2026", "2026-01-01", "2026-01-01T08:00:00Z"),
            ("Thursday, 1 January 2026 10:00:60 +01:00", "2026-01-01", "2026-01-01T09:00:59Z"),
            ("1-Jan-2026 10:00 Z", "2026-01-01", "2026-01-01T10:00:00Z"),
            ("1 Jan 2026", "2026-01-01", "2026-01-01T00:00:00Z"),
            ("1 Jan 2026 25:99:99 +9999", "2026-01-01", "2026-01-01T00:00:00Z"),
        ] {
            let read = SentDate::parse(text).unwrap_or_else(|| panic!("{text}"));
            let timestamp = moment.parse::<jiff::Timestamp>().unwrap().as_second();
            assert_eq!((read.day.to_string().as_str(), read.timestamp), (day, timestamp), "{text}");
        }
    }

    #[test]
    fn parse_without_day_month_and_year_returns_none() {
        for text in [
            "",
            "now",
            "31 Feb 2026 10:00:00",
            "Jan 2026",
            "1 2026",
            "1 Jan",
            "1 Jan 20260",
            "(1 Jan 2026",
            "\u{e9}\u{e9}",
        ] {
            assert_eq!(SentDate::parse(text), None, "{text}");
        }
        assert_eq!(SentDate::parse(&"1 ".repeat(1_000_000)), None);
    }
}
