//! Timing, peak memory and the one JSON line that a case prints, as `peers/measure.py` does.

use std::error::Error;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// What can go wrong; it is printed and ends the program.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// One call does the work once and says how long the part took that counts.
type Operation = Box<dyn FnMut() -> Outcome<Duration>>;

/// What is set beside one script: its cases and its values.
pub struct Bench {
    /// Folder and name of the script.
    pub name: &'static str,
    cases: Vec<Case>,
    values: fn() -> Outcome<Value>,
}

struct Case {
    name: String,
    least_calls: u32,
    prepare: Box<dyn Fn() -> Outcome<Operation>>,
}

impl Bench {
    /// Beside the script `name`, with `values()` for `--values`.
    pub fn new(name: &'static str, values: fn() -> Outcome<Value>) -> Self {
        Self { name, cases: Vec::new(), values }
    }

    /// Adds a case. `prepare` runs before the clock starts and gives the operation; a measurement takes at least
    /// `least_calls` calls of it.
    pub fn case<F>(
        mut self,
        name: impl Into<String>,
        least_calls: u32,
        prepare: impl Fn() -> Outcome<F> + 'static,
    ) -> Self
    where
        F: FnMut() -> Outcome<Duration> + 'static,
    {
        let prepare = move || prepare().map(|operation| Box::new(operation) as Operation);
        self.cases.push(Case { name: name.into(), least_calls, prepare: Box::new(prepare) });
        self
    }

    /// Does what the command line asks for.
    pub fn run(&self, flags: &Flags) -> Outcome<()> {
        if flags.list {
            self.cases.iter().for_each(|case| println!("{} --case {}", self.name, case.name));
            return Ok(());
        }
        if flags.values {
            println!("{}", (self.values)()?);
            return Ok(());
        }
        if let Some(unknown) = flags.cases.iter().find(|wanted| !self.cases.iter().any(|case| case.name == **wanted)) {
            return Err(format!("no case '{unknown}'; --list shows them").into());
        }
        for case in &self.cases {
            if flags.cases.is_empty() || flags.cases.contains(&case.name) {
                self.report(case, flags)?;
            }
        }
        Ok(())
    }

    fn report(&self, case: &Case, flags: &Flags) -> Outcome<()> {
        let start_bytes = resident_bytes("VmRSS");
        let mut operation = (case.prepare)()?;
        let mut once = operation()?;
        for _ in 1..flags.warmups {
            once = operation()?;
        }
        let wanted = flags.min_seconds / once.as_secs_f64().max(1e-9);
        let calls = case.least_calls.max(wanted.round().min(1e9) as u32).max(1);
        let mut seconds = Vec::with_capacity(flags.repeats);
        for _ in 0..flags.repeats {
            let mut total = Duration::ZERO;
            for _ in 0..calls {
                total += operation()?;
            }
            seconds.push(total.as_secs_f64() / f64::from(calls));
        }
        let peak_bytes = resident_bytes("VmHWM");
        let name = format!("{}/{}", self.name, case.name);
        if flags.json {
            let line = json!({
                "name": name, "seconds": seconds, "peak_bytes": peak_bytes, "start_bytes": start_bytes, "calls": calls,
            });
            println!("{line}");
        } else {
            seconds.sort_by(f64::total_cmp);
            let middle = seconds[seconds.len() / 2] * 1e3;
            println!("{name:56} {middle:12.4} ms   peak {:8.1} MiB", peak_bytes as f64 / 1_048_576.0);
        }
        Ok(())
    }
}

/// How long `work` takes.
pub fn clock<T>(work: impl FnOnce() -> T) -> Duration {
    let began = Instant::now();
    std::hint::black_box(work());
    began.elapsed()
}

/// `scale * sin(frequency * i + phase)` for `i` in `0..count`: the numbers that the Python scripts make, too.
pub fn wave(count: usize, scale: f64, frequency: f64, phase: f64) -> Vec<f64> {
    (0..count).map(|index| scale * (frequency * index as f64 + phase).sin()).collect()
}

/// Numbers between `-scale` and `scale` without pattern, those that `noise` in the Python scripts makes: the bits of
/// splitmix64.
pub fn noise(count: usize, scale: f64, seed: u64) -> Vec<f64> {
    let number = |index: u64| {
        let mut bits = (index + 1 + (seed << 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        scale * ((bits >> 11) as f64 / (1u64 << 52) as f64 - 1.0)
    };
    (0..count as u64).map(number).collect()
}

/// The command line.
pub struct Flags {
    /// Names of the benches to run; all where there is none.
    pub benches: Vec<String>,
    cases: Vec<String>,
    list: bool,
    values: bool,
    json: bool,
    repeats: usize,
    warmups: usize,
    min_seconds: f64,
}

impl Flags {
    /// Reads it.
    pub fn from_command_line() -> Outcome<Self> {
        let mut flags = Self {
            benches: Vec::new(),
            cases: Vec::new(),
            list: false,
            values: false,
            json: false,
            repeats: 5,
            warmups: 1,
            min_seconds: 0.2,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(flag) = arguments.next() {
            match flag.as_str() {
                "--list" => flags.list = true,
                "--values" => flags.values = true,
                "--json" => flags.json = true,
                "--case" | "--repeats" | "--warmups" | "--min-seconds" => {
                    let value = arguments.next().ok_or_else(|| format!("{flag} needs a value"))?;
                    let wrong = |error: &dyn std::fmt::Display| format!("{flag} {value}: {error}");
                    match flag.as_str() {
                        "--case" => flags.cases.push(value),
                        "--repeats" => flags.repeats = value.parse().map_err(|error| wrong(&error))?,
                        "--warmups" => flags.warmups = value.parse().map_err(|error| wrong(&error))?,
                        _ => flags.min_seconds = value.parse().map_err(|error| wrong(&error))?,
                    }
                }
                name if !name.starts_with('-') => flags.benches.push(flag),
                _ => {
                    return Err(format!(
                        "unknown flag {flag}; there are --case NAME, --list, --values, --json, --repeats N, --warmups N, \
                         --min-seconds S; threads are set by RAYON_NUM_THREADS"
                    )
                    .into());
                }
            }
        }
        flags.repeats = flags.repeats.max(1);
        Ok(flags)
    }
}

/// `VmRSS` or `VmHWM` of this process; 0 where there is no /proc.
fn resident_bytes(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}
