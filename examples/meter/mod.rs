//! What the raw limits of `make bench` share: the rows, and what a timed part costs.

use std::fs;
use std::time::{Duration, Instant};

/// The text of row `at`: 100 bytes, as `benchmarks/workloads.py` has it.
pub(crate) fn value(at: usize) -> String {
    let id = 10_000_000 + at;
    format!(
        "{{\"id\": {id}, \"name\": \"user {id}\", \"mail\": \"{at:06}@example.org\", \
         \"active\": true, \"mark\": {}.5}}",
        at % 10
    )
}

/// The key of row `at` among those that are written, as `benchmarks/workloads.py` has it.
pub(crate) fn written_key(at: usize) -> String {
    format!("user:{}", 10_000_000 + at)
}

/// The key of row `at` among those that are there to be read, as `benchmarks/remote.py` has it.
pub(crate) fn read_key(at: usize) -> String {
    format!("read:{}", 10_000_000 + at)
}

/// The keys and texts of so many rows.
pub(crate) fn rows(count: usize) -> Vec<(String, String)> {
    (0..count).map(|at| (written_key(at), value(at))).collect()
}

/// So many keys of a store of `rows` rows, in an order that has nothing to do with theirs.
pub(crate) fn scattered_keys(count: usize, rows: usize) -> Vec<String> {
    (0..count).map(|at| read_key(at * 61_803 % rows)).collect()
}

/// What the timed part costs: time, processor time of all threads, and growth of the peak memory.
pub(crate) struct Meter {
    memory: Option<u64>,
    processor: Option<Duration>,
    begun: Instant,
}

impl Meter {
    pub(crate) fn start() -> Self {
        // Sets the peak back to what is in use now. Only Linux has this; elsewhere it is left out.
        let _ = fs::write("/proc/self/clear_refs", "5");
        Self {
            memory: status("VmRSS:"),
            processor: processor_time(),
            begun: Instant::now(),
        }
    }

    /// The answer to `benchmarks/measure.py`.
    pub(crate) fn stop(self, count: usize, note: &str) -> String {
        let elapsed = self.begun.elapsed();
        let processor = processor_time()
            .zip(self.processor)
            .map(|(after, before)| after.saturating_sub(before).as_secs_f64());
        let memory = status("VmHWM:")
            .zip(self.memory)
            .map(|(after, before)| after.saturating_sub(before));
        let or_null = |number: Option<String>| number.unwrap_or_else(|| "null".to_owned());
        format!(
            "{{\"count\": {count}, \"seconds\": {}, \"cpu_seconds\": {}, \"peak_bytes\": {}, \"note\": \"{note}\"}}",
            elapsed.as_secs_f64(),
            or_null(processor.map(|seconds| seconds.to_string())),
            or_null(memory.map(|bytes| bytes.to_string())),
        )
    }
}

/// A line of the process's memory accounts, in bytes.
fn status(name: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// Of all threads: those of the runtime live as long as the program does.
fn processor_time() -> Option<Duration> {
    let mut nanoseconds = 0;
    for task in fs::read_dir("/proc/self/task").ok()? {
        let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        nanoseconds += text.split_whitespace().next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(nanoseconds))
}
