//! What the kernel knows of a process: the CPU time that it used, and its memory.

use std::time::Duration;

use anyhow::Context;

/// The unit of CPU times in `/proc`: on Linux always 1/100 s
/// (<https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>, `sysconf(_SC_CLK_TCK)`).
const TICK: Duration = Duration::from_millis(10);

/// The CPU time of a process and of all its threads, in user and kernel mode.
pub(crate) fn cpu_time(process: u32) -> anyhow::Result<Duration> {
    ticks(&read(process, "stat")?).map(|ticks| TICK * ticks).context("/proc has no CPU times")
}

/// The most memory that a process has had so far, in MiB.
pub(crate) fn peak_memory(process: u32) -> anyhow::Result<f64> {
    mebibytes(&read(process, "status")?).context("/proc has no peak of the memory")
}

fn read(process: u32, file: &str) -> anyhow::Result<String> {
    let path = format!("/proc/{process}/{file}");
    std::fs::read_to_string(&path).with_context(|| format!("could not read {path}; this needs Linux"))
}

/// Fields 14 and 15. The second field, the program's name in brackets, may have spaces.
fn ticks(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u32>().ok();
    Some(next()? + next()?)
}

fn mebibytes(status: &str) -> Option<f64> {
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(peak.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_times_are_read_behind_a_name_with_spaces_and_brackets() {
        assert_eq!(ticks("7 (a b) c) S 1 7 7 0 -1 4194560 1 0 0 0 123 45 0 0 20 0 1 0 99 1 1"), Some(168));
        assert_eq!(ticks("nonsense"), None);
    }

    #[test]
    fn memory_is_read_in_mebibytes() {
        assert_eq!(mebibytes("Name:\tx\nVmPeak:\t   99 kB\nVmHWM:\t   15360 kB\n"), Some(15.0));
        assert_eq!(mebibytes("Name:\tx\n"), None);
    }
}
