//! The progress bar on stderr: items, bytes, rate, time left.

use crate::args::When;
use crate::text::counted;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rwasm_cluster::plain::in_line;
use rwasm_cluster::{ByteSize, JobProgress, ProgressHandle};
use std::io::{IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the bar is drawn anew.
const INTERVAL: Duration = Duration::from_millis(100);

/// A job that ends sooner shows no bar.
const PATIENCE: Duration = Duration::from_millis(300);

/// How often a line is printed where there is no terminal to draw on.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

/// A bar that follows a job until it is dropped, and then leaves no trace.
pub(crate) struct Bar {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Bar {
    /// Shows the job's progress as `when` says, counted in what its input is made of. In `auto` a result that streams to the same
    /// terminal has it for itself.
    pub(crate) fn show(
        when: When,
        is_streaming: bool,
        job: ProgressHandle,
        piece: &'static str,
    ) -> Option<Self> {
        let terminal = std::io::stderr().is_terminal();
        match when {
            When::Never => return None,
            When::Auto if !terminal || is_streaming && std::io::stdout().is_terminal() => {
                return None;
            }
            When::Auto | When::Always => {}
        }
        let (stop, stopped) = sync_channel::<()>(0);
        let thread = std::thread::Builder::new()
            .name("rwasm-progress".to_owned())
            .spawn(move || {
                let ended = |wait| stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout);
                if terminal {
                    draw(&job, piece, ended);
                } else {
                    print_lines(&job, piece, ended);
                }
            })
            .ok()?;
        Some(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // Drawing has no result.
            let _ = thread.join();
        }
    }
}

/// A module whose compilation takes longer is told.
const COMPILING: Duration = Duration::from_secs(1);

/// Says on a terminal that a module is being compiled, once that takes its time, until it is dropped.
pub(crate) struct Compiling {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Compiling {
    pub(crate) fn show(name: &str, size: u64, is_quiet: bool) -> Option<Self> {
        if is_quiet || !std::io::stderr().is_terminal() {
            return None;
        }
        let text = format!("compiling {} ({})…", in_line(name), ByteSize::new(size));
        let (stop, stopped) = sync_channel::<()>(0);
        let thread = std::thread::Builder::new()
            .name("rwasm-compiling".to_owned())
            .spawn(move || {
                let ended = |wait| stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout);
                if ended(COMPILING) {
                    return;
                }
                let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
                if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
                    bar.set_style(style);
                }
                bar.set_message(text);
                while !ended(INTERVAL) {
                    bar.tick();
                }
                bar.finish_and_clear();
            })
            .ok()?;
        Some(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Compiling {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // Drawing has no result.
            let _ = thread.join();
        }
    }
}

fn draw(job: &ProgressHandle, piece: &str, ended: impl Fn(Duration) -> bool) {
    if ended(PATIENCE) {
        return;
    }
    let bar = ProgressBar::with_draw_target(job.now().bytes_total, ProgressDrawTarget::stderr());
    let template = if job.now().bytes_total.is_some() {
        "{wide_bar} {percent}% {bytes}/{total_bytes} {bytes_per_sec} {msg} left {eta}"
    } else {
        "{spinner} {bytes} {bytes_per_sec} {msg} after {elapsed}"
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    loop {
        let now = job.now();
        bar.set_position(now.bytes_done);
        bar.set_message(items(now, piece));
        if ended(INTERVAL) {
            break;
        }
    }
    bar.finish_and_clear();
}

/// A line each second, for logs.
fn print_lines(job: &ProgressHandle, piece: &str, ended: impl Fn(Duration) -> bool) {
    let begun = Instant::now();
    while !ended(LINE_INTERVAL) {
        let now = job.now();
        let done = ByteSize::new(now.bytes_done);
        let total = now
            .bytes_total
            .map(|total| format!(" of {}", ByteSize::new(total)));
        let line = format!(
            "{done}{} in {}, {}\n",
            total.unwrap_or_default(),
            humantime::format_duration(Duration::from_secs(begun.elapsed().as_secs())),
            items(now, piece)
        );
        // Where stderr is closed there is nobody to tell.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
}

fn items(now: JobProgress, piece: &str) -> String {
    if now.input_ended {
        format!("{}/{} {piece}s", now.chunks_done, now.chunks_read)
    } else {
        counted(now.chunks_done, piece)
    }
}
