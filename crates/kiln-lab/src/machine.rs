//! What a measurement was taken on.

/// Processor, number of cores, operating system and architecture, as in `AMD EPYC 7B13, 2 cores, linux x86_64`.
pub fn describe() -> String {
    let cores = cores();
    let processor = processor().unwrap_or_else(|| "unknown processor".to_string());
    let plural = if cores == 1 { "core" } else { "cores" };
    format!("{processor}, {cores} {plural}, {} {}", std::env::consts::OS, std::env::consts::ARCH)
}

/// Cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_string())
}

/// The commit of the working tree in the current folder, with `-dirty` where files differ from it; empty outside a
/// repository.
pub fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return String::new() };
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if !changes.is_empty() => format!("{commit}-dirty"),
        _ => commit,
    }
}
