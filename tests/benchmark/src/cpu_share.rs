//! Holds a process to the part of a CPU that Lambda gives a memory size.
//!
//! Lambda gives a function a full core while it starts, and then a share in proportion to its memory; 1,769 MB are one
//! core (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>). A cgroup's quota does the same.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;

/// The memory in MB that has one core.
const FULL_CORE: u64 = 1769;

/// The period of the quota, in microseconds.
const PERIOD: u64 = 20_000;

/// The number of groups so far.
static MADE: AtomicU64 = AtomicU64::new(0);

/// The CPU time in microseconds that a function with this memory in MB has in each period.
fn quota(memory: u64) -> u64 {
    PERIOD * memory / FULL_CORE
}

/// A cgroup with a quota. It is removed when dropped, if its process has ended by then.
pub(crate) struct CpuShare {
    group: PathBuf,
}

impl CpuShare {
    /// Makes a group for a function with this memory in MB.
    ///
    /// # Errors
    /// When this machine has no cgroups for CPUs, or does not let this program make one.
    pub(crate) fn new(memory: u64) -> anyhow::Result<Self> {
        let own = std::fs::read_to_string("/proc/self/cgroup").context("this machine has no cgroups")?;
        let (version, own) = own_group(&own).context("this machine has no cgroups for CPUs")?;
        let parent = match version {
            Version::One => below("/sys/fs/cgroup/cpu", Path::new(own)),
            // A group with processes has no groups with quotas below it: the new one is beside our own.
            Version::Two => below("/sys/fs/cgroup", Path::new(own).parent().unwrap_or(Path::new("/"))),
        };
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let group = parent.join(format!("benchmark-{}-{number}", std::process::id()));
        std::fs::create_dir(&group).with_context(|| format!("no cgroup can be made in {}", parent.display()))?;
        let share = Self { group };
        match version {
            Version::One => {
                share.write("cpu.cfs_period_us", PERIOD)?;
                share.write("cpu.cfs_quota_us", quota(memory))?;
            }
            Version::Two => share.write("cpu.max", format!("{} {PERIOD}", quota(memory)))?,
        }
        Ok(share)
    }

    /// Holds a process, with all its threads, to the share from now on.
    pub(crate) fn hold(&self, process: u32) -> anyhow::Result<()> {
        self.write("cgroup.procs", process)
    }

    fn write(&self, file: &str, value: impl ToString) -> anyhow::Result<()> {
        let path = self.group.join(file);
        std::fs::write(&path, value.to_string()).with_context(|| format!("could not write {}", path.display()))
    }
}

impl Drop for CpuShare {
    fn drop(&mut self) {
        // A group whose process still ends stays; an empty group costs nothing.
        let _ = std::fs::remove_dir(&self.group);
    }
}

/// The version of the cgroups that have CPUs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Version {
    One,
    Two,
}

/// The group of a program, from its `/proc/self/cgroup`: <https://man7.org/linux/man-pages/man7/cgroups.7.html>.
fn own_group(own: &str) -> Option<(Version, &str)> {
    let groups = || own.lines().filter_map(|line| <[&str; 3]>::try_from(line.splitn(3, ':').collect::<Vec<_>>()).ok());
    let of_cpus = groups().find(|[_, controllers, _]| controllers.split(',').any(|name| name == "cpu"));
    let of_all = || groups().find(|[id, ..]| *id == "0");
    let one = of_cpus.map(|[.., path]| (Version::One, path));
    one.or_else(|| of_all().map(|[.., path]| (Version::Two, path)))
}

fn below(mount: &str, group: &Path) -> PathBuf {
    Path::new(mount).join(group.strip_prefix("/").unwrap_or(group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_in_proportion_to_the_memory() {
        assert_eq!([128, 256, 512, 1769].map(quota), [1447, 2894, 5788, 20_000]);
    }

    #[test]
    fn the_group_that_has_cpus_is_found() {
        let one = "9:name=systemd:/\n2:cpuacct:/\n1:cpu,cpuset:/jobs/a\n0::/\n";
        assert_eq!(own_group(one), Some((Version::One, "/jobs/a")));
        let two = "0::/user.slice/session-2.scope\n";
        assert_eq!(own_group(two), Some((Version::Two, "/user.slice/session-2.scope")));
        assert_eq!(own_group("4:memory:/\n"), None);
    }

    #[test]
    fn a_group_lies_below_the_mount() {
        assert_eq!(below("/sys/fs/cgroup/cpu", Path::new("/")), Path::new("/sys/fs/cgroup/cpu"));
        assert_eq!(below("/sys/fs/cgroup", Path::new("/user.slice")), Path::new("/sys/fs/cgroup/user.slice"));
    }
}
