//! CPU time and memory of a server's processes, from /proc; only on Linux.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

/// Clock ticks of /proc per second, which is always 100 on Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processes with all their descendants.
#[derive(Clone, Debug)]
pub struct Processes(Vec<u32>);

/// The resource usage of processes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// CPU time, including children that have ended.
    pub cpu: Duration,
    /// Current resident memory in bytes; shared memory counts for each process.
    pub resident: u64,
    /// Peak resident memory in bytes.
    pub peak: u64,
}

impl Processes {
    /// These processes and their descendants.
    pub fn new(ids: Vec<u32>) -> Self {
        Self(ids)
    }

    /// The usage of all of these that still run and of their descendants, as sums; `None` without /proc, or if none of
    /// these runs any more.
    pub fn usage(&self) -> Option<Usage> {
        let table: BTreeMap<u32, Row> = fs::read_dir("/proc").ok()?.filter_map(row).collect();
        let mut family: BTreeSet<u32> = self.0.iter().copied().filter(|id| table.contains_key(id)).collect();
        loop {
            let children = table.iter().filter(|(id, row)| family.contains(&row.parent) && !family.contains(id));
            let children: Vec<_> = children.map(|(id, _)| *id).collect();
            if children.is_empty() {
                break;
            }
            family.extend(children);
        }
        let ticks: u64 = family.iter().map(|id| table[id].ticks).sum();
        let cpu = Duration::from_secs_f64(ticks as f64 / TICKS_PER_SECOND);
        let sum = |field| family.iter().filter_map(|id| memory(*id, field)).sum();
        (!family.is_empty()).then_some(Usage { cpu, resident: sum("VmRSS:"), peak: sum("VmHWM:") })
    }

    /// The CPU time that the processes took since `before`, an earlier [`Self::usage`]; `None` if that was `None`, or
    /// the usage now is.
    pub fn cpu_since(&self, before: Option<Usage>) -> Option<Duration> {
        Some(self.usage()?.cpu.saturating_sub(before?.cpu))
    }
}

struct Row {
    parent: u32,
    ticks: u64,
}

/// Returns the process id that an entry of /proc is named by, with the parent and CPU time of the process; `None` if
/// the entry is no process, or the process has ended.
fn row(entry: std::io::Result<fs::DirEntry>) -> Option<(u32, Row)> {
    let id = entry.ok()?.file_name().to_str()?.parse().ok()?;
    Some((id, parse(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)?))
}

/// Parses the parent and the CPU time from `ID (NAME) STATE PARENT ...`, where the name may contain any characters;
/// utime, stime, cutime and cstime, which are added, are the fields 14 to 17. `None` if the text is not of this form.
fn parse(stat: &str) -> Option<Row> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let words: Vec<&str> = rest.split_ascii_whitespace().collect();
    let ticks = words.get(11..15)?.iter().map(|word| word.parse::<u64>()).sum::<Result<_, _>>();
    Some(Row { parent: words.get(1)?.parse().ok()?, ticks: ticks.ok()? })
}

/// Returns the bytes of a field of /proc/ID/status, such as `VmRSS:`, which has them in kB; `None` if the process has
/// ended or has no such field.
fn memory(id: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_stat_with_any_process_name_is_parsed() {
        let stat = "7 (a) b (c) S 3 7 7 0 -1 4194560 1 2 3 4 100 20 3 1 20 0 1 0 9 0 0";
        let row = parse(stat).unwrap();
        assert_eq!((row.parent, row.ticks), (3, 124));
        assert!(parse("7 (a) S").is_none());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn usage_of_a_missing_process_is_none() {
        let usage = Processes::new(vec![std::process::id()]).usage().unwrap();
        assert!(1 << 20 < usage.resident && usage.resident <= usage.peak);
        assert_eq!(Processes::new(vec![u32::MAX]).usage(), None);
    }
}
