//! `test`: project → module → samples → what they give, and whether the laws of a job hold.

use crate::args::{TestArguments, TestFormat, check_engines};
use crate::commands::build::{self, Source};
use crate::environment::compiler::{bounded, compiled};
use crate::environment::signals::Signals;
use crate::exit::{CliError, with_source};
use crate::output::messages;
use crate::output::results::Output;
use crate::output::stdout::print;
use crate::pipeline::grants::grants;
use crate::pipeline::{self, BoundaryWatch};
use rwasm_cluster::check::{
    CallSample, Check, CheckError, Checker, Samples, SamplesError, Verdict,
};
use rwasm_cluster::plain::visible;
use rwasm_cluster::{ByteSize, Cluster, Grants, JobSpec, Limits, Merge, Module, SubmitError};
use rwasm_cluster::{plain, small_file};
use serde_json::json;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Checks a task on its samples.
pub(crate) fn test(arguments: &TestArguments, signals: &Signals) -> Result<(), CliError> {
    // What can be refused is refused first, the cheap before the dear.
    let engines = u32::try_from(arguments.engines).unwrap_or(u32::MAX);
    check_engines(Some(engines))?;
    let spec = spec(arguments)?;
    let grants = grants(&arguments.grants, &arguments.determinism)?;
    let source = Source::find(&arguments.path)?;
    let samples = Samples::read(&samples_dir(arguments, &source)).map_err(no_samples)?;
    let loud = !arguments.loudness.quiet;
    let path = match &source {
        Source::Project(project) if !arguments.no_build => build::project(project, loud, signals)?,
        Source::Project(_) => source.module_path(),
        Source::Module(path) => path.clone(),
    };
    let limits = pipeline::limits(&arguments.limits, spec.task.deterministic);
    let module = Module::from_file_within(&path, &limits).map_err(CliError::Load)?;

    let one = cluster(1, &limits, &grants)?;
    let many = cluster(engines, &limits, &grants)?;
    if loud {
        pipeline::warn_of_shortages(&many);
    }
    let stopped = [Arc::clone(&one), Arc::clone(&many)];
    signals.watch(move || {
        for cluster in stopped {
            cluster.shutdown(Duration::ZERO);
        }
    });
    let checker = Checker::new(&module, spec, &one, &many);
    if !samples.inputs.is_empty() {
        let fits = checker.takes_inputs();
        fits.map_err(|error| CliError::Submit(SubmitError::Plan(error)))?;
    }
    let mut boundary = BoundaryWatch::begin(&one, !loud);
    let mut events = one.events();
    let ended = checked(&checker, samples, arguments);
    while let Some(event) = events.try_next() {
        boundary.take(&event);
    }
    if let Some(ending) = signals.ending() {
        return Err(CliError::Signal(ending));
    }
    if let Some(failure) = boundary.failure() {
        return Err(failure);
    }
    let printer = ended?;
    printer.end(&module, arguments)
}

fn checked(
    checker: &Checker<'_>,
    samples: Samples,
    arguments: &TestArguments,
) -> Result<CheckPrinter, CliError> {
    let loud = !arguments.loudness.quiet;
    let samples = if arguments.update {
        update(checker, &samples, loud)?;
        Samples::read(&samples.dir).map_err(no_samples)?
    } else {
        samples
    };
    let mut printer = CheckPrinter {
        checks: Vec::new(),
        prints: arguments.format == TestFormat::Text,
        loud,
    };
    for input in &samples.inputs {
        printer.all(checker.input(input).map_err(unchecked)?)?;
    }
    printer.all(checker.together(&samples.inputs).map_err(unchecked)?)?;
    for call in &samples.calls {
        printer.all(checker.call(call).map_err(unchecked)?)?;
    }
    Ok(printer)
}

fn spec(arguments: &TestArguments) -> Result<JobSpec, CliError> {
    let mut spec = JobSpec::default();
    spec.map.clone_from(&arguments.map);
    spec.merge = match (&arguments.reduce, &arguments.merge) {
        (Some(name), _) => Merge::Reducer(name.clone()),
        (None, Some(Merge::None)) => {
            return Err(CliError::Wrong {
                message: "a test compares merged results, but --merge none does not merge"
                    .to_owned(),
                hint: "use --merge collect".to_owned(),
            });
        }
        (None, merge) => merge.clone().unwrap_or_default(),
    };
    spec.task.deterministic = arguments.determinism.deterministic;
    spec.arguments.clone_from(&arguments.program_arguments);
    Ok(spec)
}

fn samples_dir(arguments: &TestArguments, source: &Source) -> PathBuf {
    const NAME: &str = "samples";
    match (&arguments.samples, source) {
        (Some(dir), _) => dir.clone(),
        (None, Source::Project(project)) => project.dir.join(NAME),
        (None, Source::Module(path)) => path.with_file_name(NAME),
    }
}

fn cluster(engines: u32, limits: &Limits, grants: &Grants) -> Result<Arc<Cluster>, CliError> {
    let builder = Cluster::builder()
        .engines(engines)
        .limits(limits.clone())
        .grants(grants.clone());
    let cluster = compiled(bounded(builder)?)?.start();
    Ok(Arc::new(cluster.map_err(CliError::Start)?))
}

/// Writes what the samples give now.
fn update(checker: &Checker<'_>, samples: &Samples, loud: bool) -> Result<(), CliError> {
    // A task that may write among the samples could make one lead elsewhere.
    let paths = samples.inputs.iter().map(|input| input.expected.clone());
    let paths: Vec<_> = paths.chain([samples.calls_path()]).collect();
    let mut before: Vec<_> = paths.iter().map(|path| led_to(path)).collect();
    let mut write = |path: &Path, bytes: &[u8]| -> Result<(), CliError> {
        let place = paths.iter().position(|one| one == path);
        let before = place.map(|place| &mut before[place]);
        if before.as_deref() != Some(&led_to(path)) {
            return Err(CliError::Output {
                what: format!("`{}`", plain::path(path)),
                source: io::Error::other("it leads elsewhere since a task ran"),
            });
        }
        let size = ByteSize::new(bytes.len() as u64);
        if small_file::read_regular(path, size).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        let mut output = Output::open(Some(path))?;
        output.bytes(bytes)?;
        output.complete()?;
        if let Some(before) = before {
            *before = led_to(path);
        }
        if loud {
            messages::print(&visible(&format!("wrote {}\n", path.display())));
        }
        Ok(())
    };
    for input in &samples.inputs {
        // One that fails has nothing to write; the check says why.
        if let Ok(bytes) = checker.output(input).map_err(unchecked)? {
            write(&input.expected, &bytes)?;
        }
    }
    if samples.calls.is_empty() {
        return Ok(());
    }
    let mut given = Vec::new();
    for call in &samples.calls {
        match checker.given(call).map_err(unchecked)? {
            Ok(outcome) => given.push(outcome),
            Err(message) => return Err(wrong_call(samples, call, &message)),
        }
    }
    write(&samples.calls_path(), samples.calls_with(&given).as_bytes())
}

/// The directory that a path leads to, and the file, where there is one.
fn led_to(path: &Path) -> (Option<PathBuf>, Option<PathBuf>) {
    let dir = path.parent().and_then(|dir| dir.canonicalize().ok());
    (dir, path.canonicalize().ok())
}

fn wrong_call(samples: &Samples, call: &CallSample, message: &str) -> CliError {
    CliError::Wrong {
        message: format!(
            "`{}`, line {}: {}",
            samples.calls_path().display(),
            call.line,
            visible(message)
        ),
        hint: "correct the line first; calls.txt was not changed".to_owned(),
    }
}

/// The checks that were made, and how they are printed.
struct CheckPrinter {
    checks: Vec<Check>,
    prints: bool,
    loud: bool,
}

impl CheckPrinter {
    fn all(&mut self, checks: Vec<Check>) -> Result<(), CliError> {
        for check in checks {
            if self.prints && (self.loud || check.is_broken()) {
                print(&line(&check))?;
            }
            self.checks.push(check);
        }
        Ok(())
    }

    /// Sums up, and ends.
    fn end(self, module: &Module, arguments: &TestArguments) -> Result<(), CliError> {
        let broken = self.checks.iter().filter(|check| check.is_broken()).count();
        let is_untried = |check: &&Check| matches!(check.verdict, Verdict::Untried(_));
        let untried = self.checks.iter().filter(is_untried).count();
        let kept = self.checks.len() - broken - untried;
        match arguments.format {
            TestFormat::Json => {
                let document = json!({
                    "module": module.name(),
                    "sha256": module.hash().to_string(),
                    "ok": kept,
                    "failed": broken,
                    "not_tried": untried,
                    "checks": self.checks.iter().map(document).collect::<Vec<_>>(),
                });
                print(&format!("{document:#}\n"))?;
            }
            TestFormat::Text if self.loud => {
                let untried = match untried {
                    0 => String::new(),
                    untried => format!(", {untried} not tried"),
                };
                print(&format!("{kept} ok, {broken} failed{untried}\n"))?;
                let is_unsaid = |check: &Check| matches!(check.verdict, Verdict::Unsaid(_));
                if self.checks.iter().any(is_unsaid) {
                    messages::print("hint: record the current results with --update\n");
                }
            }
            TestFormat::Text => {}
        }
        if broken > 0 {
            return Err(CliError::LawsBroken);
        }
        Ok(())
    }
}

/// A check as a line; what differs in lines of its own below it.
fn line(check: &Check) -> String {
    let word = match check.verdict {
        Verdict::Kept(_) => "ok",
        Verdict::Untried(_) => "-",
        _ => "FAILED",
    };
    // Names and values come from outside; none of them may command a terminal.
    let text = visible(&check.to_string());
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let mut shown = format!("{word:<7} {first}\n");
    for more in lines {
        shown += &format!("{:<11}{more}\n", "");
    }
    shown
}

fn document(check: &Check) -> serde_json::Value {
    let (outcome, message, difference) = match &check.verdict {
        Verdict::Kept(message) => ("ok", message, None),
        Verdict::Untried(message) => ("not-tried", message, None),
        Verdict::Unsaid(message) => ("failed", message, None),
        Verdict::Broken {
            message,
            difference,
        } => ("failed", message, difference.as_ref()),
        other => return json!({ "outcome": format!("{other:?}") }),
    };
    json!({
        "sample": check.subject,
        "law": check.law.name(),
        "outcome": outcome,
        "message": message,
        "line": difference.and_then(|difference| difference.line),
        "expected": difference.map(|difference| &difference.expected),
        "found": difference.map(|difference| &difference.found),
    })
}

fn no_samples(error: SamplesError) -> CliError {
    match error {
        SamplesError::Unreadable { path, source } => CliError::Gone {
            message: format!("cannot read `{}`: {source}", plain::path(&path)),
            hint: "see `rwasm-cluster test --help` for the format of samples".to_owned(),
        },
        SamplesError::None { dir } => {
            let dir = dir.display();
            CliError::Wrong {
                message: format!("no samples in `{dir}`"),
                hint: format!(
                    "add an input such as `{dir}/one.txt` and record its result with --update, or write calls to \
                     `{dir}/calls.txt`, one per line: greet(\"Ada\", 3) => \"…\""
                ),
            }
        }
        other => CliError::Wrong {
            message: visible(&other.to_string()),
            hint: "see `rwasm-cluster test --help` for the format of samples".to_owned(),
        },
    }
}

fn unchecked(error: CheckError) -> CliError {
    match error {
        CheckError::Submit(error) => CliError::Submit(error),
        CheckError::Job(error) => error.into(),
        error => {
            let hint = match &error {
                CheckError::Unreadable { source, .. }
                    if source.kind() == io::ErrorKind::FileTooLarge =>
                {
                    "record the current result with --update"
                }
                _ => "do not change samples while the test runs",
            };
            CliError::Gone {
                message: with_source(&error),
                hint: hint.to_owned(),
            }
        }
    }
}
