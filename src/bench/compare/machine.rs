//! Owns one line about the machine. Never measures it.

use std::fs;

/// Processor, cores, memory and kernel, as one line.
pub fn describe() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = field(&cpuinfo, "model name").unwrap_or("unknown processor");
    let virtual_machine = cpuinfo.split_whitespace().any(|word| word == "hypervisor");
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = field(&meminfo, "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.split(['-', '\n']).next().unwrap_or_default();
    let kind = if virtual_machine { ", virtual" } else { "" };
    format!(
        "{model}, {cores} cores{kind}, {} GiB, Linux {release}",
        kib.unwrap_or(0).div_ceil(1 << 20)
    )
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}
