//! Which cores this process may use: its affinity mask and the CPU quotas of its cgroups, v1 and v2.
//! Pins threads. Never changes the process's own mask.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// What the process may use.
#[derive(Clone, Debug, PartialEq)]
pub struct UsableCores {
    /// Numbers of the cores in the affinity mask, ascending; never empty.
    pub cores: Vec<usize>,
    /// The smallest CPU quota of the process's cgroups and those above them, in cores.
    pub quota: Option<f64>,
}

impl UsableCores {
    /// Asks the kernel.
    ///
    /// # Errors
    /// The affinity mask cannot be read. A cgroup that cannot be read counts as one without a quota.
    pub fn detect() -> io::Result<UsableCores> {
        let mask = sched_getaffinity(None)?;
        let cores = (0..CpuSet::MAX_CPU)
            .filter(|&core| mask.is_set(core))
            .collect();
        Ok(UsableCores {
            cores,
            quota: quota(Path::new("/")),
        })
    }

    /// Shards to run when none are asked for: one per core, no more than the quota in whole cores, rounded down
    /// because a shard that is throttled in mid-period stalls all its connections; at least one.
    pub fn shards(&self) -> usize {
        self.whole_quota()
            .map_or(self.cores.len(), |quota| quota.min(self.cores.len()))
    }

    /// The core of each of `shards` shards, or `None` where pinning would do harm: with more shards than cores,
    /// and under a quota smaller than the mask, where the neighbours' processes would pin to the same first cores.
    pub fn pins(&self, shards: usize) -> Option<Vec<usize>> {
        let limited = self
            .whole_quota()
            .is_some_and(|quota| quota < self.cores.len());
        (shards <= self.cores.len() && !limited).then(|| self.cores[..shards].to_vec())
    }

    fn whole_quota(&self) -> Option<usize> {
        // Microseconds over microseconds, both 32 bits: far inside what `usize` holds.
        self.quota.map(|quota| (quota.floor() as usize).max(1))
    }
}

/// Pins the calling thread to `core`.
///
/// # Errors
/// The core is not there or not allowed.
pub fn pin(core: usize) -> io::Result<()> {
    let mut mask = CpuSet::new();
    if core >= CpuSet::MAX_CPU {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    mask.set(core);
    Ok(sched_setaffinity(None, &mask)?)
}

/// A hierarchy of cgroups as mounted.
struct Mount {
    /// The cgroup that is seen at `point`.
    root: String,
    point: String,
    v2: bool,
}

/// The smallest quota over all hierarchies and levels. Files are looked for below `system` (`/` but in tests).
fn quota(system: &Path) -> Option<f64> {
    let read = |path: &str| fs::read_to_string(system.join(path)).unwrap_or_default();
    let groups = read("proc/self/cgroup");
    let mounts = mounts(&read("proc/self/mountinfo"));
    let quotas = groups.lines().filter_map(|line| {
        // 0::/path is v2; 4:cpu,cpuacct:/path is v1.
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let v2 = controllers.is_empty();
        if !v2 && !controllers.split(',').any(|name| name == "cpu") {
            return None;
        }
        let mount = mounts.iter().find(|mount| mount.v2 == v2)?;
        smallest_quota(system, mount, path)
    });
    quotas.reduce(f64::min)
}

/// Lines of mountinfo: `36 35 98:0 /root /point rw,noatime master:1 - cgroup2 source options`.
fn mounts(info: &str) -> Vec<Mount> {
    let mount = |line: &str| {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let (root, point) = (place.next()?, place.next()?);
        let mut kind = kind.split(' ');
        let (fs_type, options) = (kind.next()?, kind.nth(1)?);
        let v2 = fs_type == "cgroup2";
        let v1_cpu = fs_type == "cgroup" && options.split(',').any(|option| option == "cpu");
        (v2 || v1_cpu).then(|| Mount {
            root: root.into(),
            point: point.into(),
            v2,
        })
    };
    info.lines().filter_map(mount).collect()
}

fn smallest_quota(system: &Path, mount: &Mount, group: &str) -> Option<f64> {
    let below = match group.strip_prefix(mount.root.trim_end_matches('/')) {
        Some(below) if below.is_empty() || below.starts_with('/') => below,
        // The group lies outside of what is mounted, as in a container that sees only its own: its root is ours.
        _ => "",
    };
    let top = system.join(mount.point.trim_start_matches('/'));
    let mut group = PathBuf::from(below.trim_start_matches('/'));
    let mut smallest = group_quota(&top.join(&group), mount.v2);
    while group.pop() {
        let above = group_quota(&top.join(&group), mount.v2);
        smallest = [smallest, above].into_iter().flatten().reduce(f64::min);
    }
    smallest
}

fn group_quota(dir: &Path, v2: bool) -> Option<f64> {
    let read = |name: &str| fs::read_to_string(dir.join(name)).ok();
    let (quota, period) = if v2 {
        let max = read("cpu.max")?;
        let (quota, period) = max.trim().split_once(' ')?;
        (quota.to_string(), period.to_string())
    } else {
        (read("cpu.cfs_quota_us")?, read("cpu.cfs_period_us")?)
    };
    // "max" and -1 are no quota.
    let quota: u32 = quota.trim().parse().ok()?;
    let period: u32 = period.trim().parse().ok()?;
    (quota > 0 && period > 0).then(|| f64::from(quota) / f64::from(period))
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2_MOUNT: &str =
        "31 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1_MOUNTS: &str = "33 32 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        34 32 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n";

    fn check(files: &[(&str, &str)], expected: Option<f64>) {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        assert_eq!(quota(root.path()), expected, "{files:?}");
    }

    #[test]
    fn v2_takes_the_smallest_quota_on_the_way_up() {
        let system = [
            ("proc/self/cgroup", "0::/a.slice/b.service\n"),
            ("proc/self/mountinfo", V2_MOUNT),
        ];
        let with = |a: &'static str, b: &'static str| {
            let quotas = [
                ("sys/fs/cgroup/a.slice/cpu.max", a),
                ("sys/fs/cgroup/a.slice/b.service/cpu.max", b),
            ];
            [system, quotas].concat()
        };
        check(&system, None);
        check(&with("max 100000\n", "max 100000\n"), None);
        check(&with("max 100000\n", "250000 100000\n"), Some(2.5));
        check(&with("150000 100000\n", "250000 100000\n"), Some(1.5));
        check(&with("150000 100000\n", "max 100000\n"), Some(1.5));
        check(&with("nonsense\n", "0 0\n"), None);
    }

    #[test]
    fn v2_in_a_container_with_its_own_namespace() {
        let system = [
            ("proc/self/cgroup", "0::/\n"),
            ("proc/self/mountinfo", V2_MOUNT),
        ];
        check(
            &[
                system.as_slice(),
                &[("sys/fs/cgroup/cpu.max", "50000 100000\n")],
            ]
            .concat(),
            Some(0.5),
        );
    }

    #[test]
    fn v1_reads_the_cpu_hierarchy_only() {
        let group = "5:memory:/job\n4:cpu,cpuacct:/job\n3:cpuset:/other\n";
        let dir = "sys/fs/cgroup/cpu,cpuacct/job";
        let with = |quota: &'static str| {
            let (quota_file, period_file) = (
                format!("{dir}/cpu.cfs_quota_us"),
                format!("{dir}/cpu.cfs_period_us"),
            );
            let files = [
                ("proc/self/cgroup", group),
                ("proc/self/mountinfo", V1_MOUNTS),
                (quota_file.as_str(), quota),
                (period_file.as_str(), "100000\n"),
            ];
            check(&files, (quota != "-1\n").then_some(3.0));
        };
        with("300000\n");
        with("-1\n");
    }

    #[test]
    fn v1_in_docker_where_the_mount_begins_at_the_containers_group() {
        let files = [
            ("proc/self/cgroup", "4:cpu,cpuacct:/docker/12ab\n"),
            (
                "proc/self/mountinfo",
                "34 32 0:30 /docker/12ab /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpuacct,cpu\n",
            ),
            ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
        ];
        check(&files, Some(2.0));
    }

    #[test]
    fn without_cgroups_there_is_no_quota() {
        check(&[], None);
        check(
            &[
                ("proc/self/cgroup", "garbage\n::\n0\n"),
                ("proc/self/mountinfo", "1 2 3 - cgroup2\n- \n"),
            ],
            None,
        );
    }

    #[test]
    fn shards_follow_cores_and_quota() {
        let usable = |cores: usize, quota| UsableCores {
            cores: (0..cores).collect(),
            quota,
        };
        let shards = |cores, quota| usable(cores, quota).shards();
        assert_eq!(shards(8, None), 8);
        assert_eq!(shards(8, Some(2.5)), 2);
        assert_eq!(shards(8, Some(0.5)), 1);
        assert_eq!(shards(2, Some(16.0)), 2);
        assert_eq!(usable(4, None).pins(2), Some(vec![0, 1]));
        assert_eq!(usable(4, None).pins(5), None);
        assert_eq!(usable(4, Some(2.0)).pins(2), None);
        assert_eq!(usable(4, Some(4.0)).pins(4), Some(vec![0, 1, 2, 3]));
        assert_eq!(
            UsableCores {
                cores: vec![3, 5],
                quota: None
            }
            .pins(1),
            Some(vec![3])
        );
    }

    #[test]
    fn a_pinned_thread_has_one_core() {
        let usable = UsableCores::detect().unwrap();
        let last = *usable.cores.last().unwrap();
        let seen = std::thread::spawn(move || {
            pin(last).unwrap();
            UsableCores::detect().unwrap().cores
        });
        assert_eq!(seen.join().unwrap(), [last]);
        assert!(pin(CpuSet::MAX_CPU).is_err());
    }
}
