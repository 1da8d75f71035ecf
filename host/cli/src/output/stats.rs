//! `--stats`: what a job came to, for people.

use crate::text::{counted, duration};
use rwasm_cluster::{ByteSize, Histogram, JobStats};
use std::fmt::Write as _;
use std::time::Duration;

/// The figures of a job, a line each, and one for each engine. `piece` is what its input is made of.
pub(crate) fn table(stats: &JobStats, piece: &str) -> String {
    let mut text = String::new();
    let wall = stats.wall_time;
    let maps = stats.tasks - stats.merges;
    let mut line = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<12} {value}");
    };
    line(
        "tasks",
        format!(
            "{} ({}, {}, {} retried) in {}",
            stats.tasks,
            counted(maps, "map"),
            counted(stats.merges, "merge"),
            stats.retries,
            counted(stats.dispatches, "dispatch")
        ),
    );
    line(
        "input",
        format!(
            "{} in {}, {}/s",
            ByteSize::new(stats.bytes_in),
            counted(stats.chunks, piece),
            ByteSize::new(rate(stats.bytes_in, wall))
        ),
    );
    line("wall time", duration(wall));
    line(
        "serial time",
        format!("{} (the sum over tasks)", duration(stats.serial_time)),
    );
    if let Some(times) = run_times(&stats.run_times) {
        line("run times", times);
    }
    line("speed-up", format!("{:.2}", stats.speed_up()));
    line(
        "efficiency",
        format!(
            "{:.0}% of {}",
            stats.efficiency() * 100.0,
            counted(stats.engine_count as u64, "engine")
        ),
    );
    line(
        "peak memory",
        format!("{} per task", ByteSize::new(stats.peak_memory)),
    );
    for (id, engine) in &stats.engines {
        let share = engine.busy.as_secs_f64() / wall.as_secs_f64().max(f64::MIN_POSITIVE);
        line(
            &format!("engine {id}"),
            format!(
                "{}, busy {} ({:.0}%), input {}",
                counted(engine.tasks, "task"),
                duration(engine.busy),
                share * 100.0,
                ByteSize::new(engine.bytes_in)
            ),
        );
    }
    text
}

/// How long tasks ran: a column for each power of two, between the least and the largest.
fn run_times(times: &Histogram) -> Option<String> {
    const COLUMNS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let buckets = times.buckets();
    let most = buckets.iter().map(|(_, count)| *count).max()?;
    let column = |(_, count): &(u64, u64)| match count {
        0 => ' ',
        count => {
            let height = u128::from(*count) * 7 / u128::from(most);
            COLUMNS[usize::try_from(height).unwrap_or(7).min(7)]
        }
    };
    let columns: String = buckets.iter().map(column).collect();
    let shown = |nanoseconds| duration(Duration::from_nanos(nanoseconds));
    let (least, _) = buckets.first()?;
    Some(format!(
        "{} {columns} {}; half of them up to {}",
        shown(*least),
        shown(times.largest()),
        shown(times.quantile(0.5)?)
    ))
}

fn rate(bytes: u64, time: Duration) -> u64 {
    let per_second = u128::from(bytes) * 1_000_000_000 / time.as_nanos().max(1);
    u64::try_from(per_second).unwrap_or(u64::MAX)
}
