//! Runs a task in all the ways that should not matter, and compares the results.

use super::calls::CallSample;
use super::difference::{Difference, text};
use super::given::{
    Given, differs, expected, failed, fault, list, piece_name, said, unlike, unmade, wanted,
};
use super::reducer::{self, Shape};
use super::samples::InputSample;
use super::{Check, Law, Verdict};
use crate::{
    ApplyError, Argument, Chunking, Cluster, DynamicCallable, Failure, FailureCode, Form, Input,
    JobError, JobSpec, Merge, Module, Origin, PlanError, SubmitError, Targets, Tolerance, Value,
    ViewKind,
};
use rwasm_value::format::Call;
use rwasm_value::plain;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::num::NonZeroU64;
use std::path::PathBuf;

/// The most pieces of an input that are run separately: enough for every engine to have several.
const PIECES: u64 = 64;

/// The most chunks of a whole job. Larger samples get larger chunks.
const CHUNKS: u64 = 256;

/// A task, and the engines on which it is checked.
///
/// See the [module](super) for an example.
pub struct Checker<'c> {
    module: &'c Module,
    spec: JobSpec,
    one: &'c Cluster,
    many: &'c Cluster,
}

/// Why a check could not be made. A broken law is not an error but a [`Verdict`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The job is not possible at all.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// A job ended for a reason that is not the task's.
    #[error(transparent)]
    Job(JobError),
    /// A sample cannot be read.
    #[error("cannot read `{}`", plain::path(.path))]
    Unreadable {
        /// The sample's file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// The result of one piece of an input.
struct Piece {
    origin: Origin,
    given: Given,
}

impl<'c> Checker<'c> {
    /// Checks jobs of `module` with this spec, on a cluster of one engine and on one of several.
    #[must_use]
    pub fn new(module: &'c Module, spec: JobSpec, one: &'c Cluster, many: &'c Cluster) -> Self {
        Self {
            module,
            spec,
            one,
            many,
        }
    }

    /// Checks that the module can be mapped over inputs with this spec.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn takes_inputs(&self) -> Result<(), PlanError> {
        self.spec.merge_for(self.module).map(drop)
    }

    /// Returns what the job prints for an input, in the text format, or why the job fails.
    ///
    /// # Errors
    /// If the job cannot be run.
    pub fn output(&self, input: &InputSample) -> Result<Result<Vec<u8>, String>, CheckError> {
        let given = self.job(self.one, input, &self.spec)?;
        Ok(given.map(|value| text(&value)))
    }

    /// Checks an input: its expected result, and every law that the job relies on. Stops after a broken law without
    /// which the others mean nothing.
    ///
    /// # Errors
    /// If something cannot be run or read.
    pub fn input(&self, input: &InputSample) -> Result<Vec<Check>, CheckError> {
        let mut checks = Vec::new();
        let mut told = |law, verdict| checks.push(Check::new(&input.name, law, verdict));
        let first = match self.job(self.one, input, &self.spec)? {
            Ok(value) => value,
            Err(message) => {
                told(Law::Expected, Verdict::broken(format!("fails: {message}")));
                return Ok(checks);
            }
        };
        told(Law::Expected, expected(input, &first)?);
        let cut = Cut::of(self.module, &self.spec, input)?;
        let verdict = self.again(input, &first, cut)?;
        let is_random = matches!(verdict, Verdict::Broken { .. });
        told(Law::Again, verdict);
        if is_random {
            return Ok(checks);
        }
        told(Law::Engines, self.engines(input, &first, cut)?);
        if let Some((name, shape)) = self.reducer() {
            told(Law::Chunks, self.chunks(input, &first, cut)?);
            if let Some(lines) = cut.lines {
                let pieces = self.pieces(self.one, &[input], Chunking::Lines(each(lines, 4)))?;
                for (law, verdict) in self.merges(&name, shape, &pieces)? {
                    told(law, verdict);
                }
            }
        }
        Ok(checks)
    }

    /// Checks the reducer on the results of several whole inputs, if there are several.
    ///
    /// # Errors
    /// If something cannot be run.
    pub fn together(&self, inputs: &[InputSample]) -> Result<Vec<Check>, CheckError> {
        let Some((name, shape)) = self.reducer() else {
            return Ok(Vec::new());
        };
        let inputs: Vec<&InputSample> = inputs.iter().take(reducer::PARTS).collect();
        // Of two there is but one grouping.
        if inputs.len() < 3 {
            return Ok(Vec::new());
        }
        let pieces = self.pieces(self.one, &inputs, Chunking::File)?;
        let names: Vec<&str> = inputs.iter().map(|input| &*input.name).collect();
        let subject = names.join(", ");
        let laws = self.merges(&name, shape, &pieces)?.into_iter();
        Ok(laws
            .map(|(law, verdict)| Check::new(&subject, law, verdict))
            .collect())
    }

    /// Returns the result of a call on one engine.
    ///
    /// # Errors
    /// If the call cannot be made at all; the inner error says that the function or its arguments are not valid.
    pub fn given(
        &self,
        call: &CallSample,
    ) -> Result<Result<Result<Value, Failure>, String>, CheckError> {
        match self.prepared(call) {
            Ok((function, arguments)) => self.call_on(self.one, &function, arguments).map(Ok),
            Err(message) => Ok(Err(message)),
        }
    }

    /// Checks a call: its expected result, and that it gives the same result again, on whichever engine.
    ///
    /// # Errors
    /// If something cannot be run.
    pub fn call(&self, call: &CallSample) -> Result<Vec<Check>, CheckError> {
        let mut checks = Vec::new();
        let mut told = |law, verdict| checks.push(Check::new(&call.call, law, verdict));
        let (function, arguments) = match self.prepared(call) {
            Ok(prepared) => prepared,
            Err(message) => {
                told(Law::Expected, Verdict::broken(message));
                return Ok(checks);
            }
        };
        let first = self.call_on(self.one, &function, arguments.clone())?;
        told(Law::Expected, wanted(call, &function, &first));
        let again = self.call_on(self.one, &function, arguments.clone())?;
        if let Some(verdict) = differs(&first, &again, "the second time") {
            told(Law::Again, verdict);
            return Ok(checks);
        }
        told(Law::Again, Verdict::kept("gives the same result again"));
        let engines = self.many.engines();
        for engine in &engines {
            let view = self
                .many
                .direct_view(Targets::Only(vec![*engine]))
                .map_err(SubmitError::from)?;
            let view = view.deterministic(self.spec.task.deterministic).blocking();
            let tasks = view.submit(&function, arguments.clone())?;
            let given = tasks.iter().map(|task| failed(task.get()));
            for given in given.collect::<Result<Vec<_>, _>>()? {
                if let Some(verdict) = differs(&first, &given, &format!("on engine {engine}")) {
                    told(Law::Engines, verdict);
                    return Ok(checks);
                }
            }
        }
        let kept = format!("gives the same result on each of {} engines", engines.len());
        told(Law::Engines, Verdict::kept(kept));
        Ok(checks)
    }

    /// The function that the job merges with, and how it is called.
    fn reducer(&self) -> Option<(String, Shape)> {
        let Ok(Merge::Reducer(name)) = self.spec.merge_for(self.module) else {
            return None;
        };
        let shape = match self.module.signature(&name)?.params.len() {
            1 => Shape::List,
            _ => Shape::Pair,
        };
        Some((name, shape))
    }

    fn again(&self, input: &InputSample, first: &Value, cut: Cut) -> Result<Verdict, CheckError> {
        // Which piece it is says more than that the whole differs, so that comes first.
        if let Some(lines) = cut.lines {
            let fine = Chunking::Lines(each(lines, PIECES));
            let before = self.pieces(self.one, &[input], fine)?;
            let after = self.pieces(self.one, &[input], fine)?;
            for (before, after) in before.iter().zip(&after) {
                let place = piece_name(&before.origin);
                if let Some(verdict) = unlike(
                    &before.given,
                    &after.given,
                    &format!("the second time, on {place}"),
                ) {
                    return Ok(verdict);
                }
            }
        }
        let second = self.job(self.one, input, &self.spec)?;
        Ok(unlike(&Ok(first.clone()), &second, "the second time")
            .unwrap_or_else(|| Verdict::kept("gives the same result again")))
    }

    fn engines(&self, input: &InputSample, first: &Value, cut: Cut) -> Result<Verdict, CheckError> {
        let count = self.many.engines().len();
        let views = [
            (ViewKind::Balanced, "balanced"),
            (ViewKind::Direct(Targets::All), "direct"),
        ];
        let kept = format!("gives the same result on 1 engine and on {count}, balanced and direct");
        let Some(lines) = cut.lines else {
            // What is run whole is run on each engine.
            let inputs = vec![input; count];
            for (view, word) in views {
                for piece in self.pieces_in(self.many, &inputs, Chunking::File, view)? {
                    let where_ = format!("on {count} engines, {word}");
                    if let Some(verdict) = unlike(&Ok(first.clone()), &piece.given, &where_) {
                        return Ok(verdict);
                    }
                }
            }
            return Ok(Verdict::Kept(kept));
        };
        let mut spec = self.spec.clone();
        spec.chunking = Some(Chunking::Lines(each(lines, PIECES)));
        let fine = self.job(self.one, input, &spec)?;
        for (cluster, engines) in [(self.one, 1), (self.many, count)] {
            for (view, word) in &views {
                spec.view = view.clone();
                let given = self.job(cluster, input, &spec)?;
                let where_ = format!("on {engines} engines, {word}");
                if let Some(verdict) = unlike(&fine, &given, &where_) {
                    return Ok(verdict);
                }
            }
        }
        Ok(Verdict::Kept(kept))
    }

    fn chunks(&self, input: &InputSample, first: &Value, cut: Cut) -> Result<Verdict, CheckError> {
        let Some(lines) = cut.lines.filter(|lines| *lines > 1) else {
            return Ok(Verdict::untried(
                "other chunks, because it has a single line",
            ));
        };
        let finest = each(lines, CHUNKS);
        let mut ways = vec![Chunking::File];
        for more in [1, 2, 5] {
            let size = finest.saturating_mul(NonZeroU64::MIN.saturating_add(more - 1));
            if size.get() < lines {
                ways.push(Chunking::Lines(size));
            }
        }
        let names: Vec<String> = ways.iter().map(ToString::to_string).collect();
        for way in ways {
            let mut spec = self.spec.clone();
            spec.chunking = Some(way);
            let given = self.job(self.one, input, &spec)?;
            let verdict = unlike(&Ok(first.clone()), &given, &format!("in chunks of {way}"));
            if let Some(verdict) = verdict {
                return Ok(verdict);
            }
        }
        Ok(Verdict::kept(format!(
            "gives the same result in chunks of {}",
            names.join(", ")
        )))
    }

    /// Tries the ways to merge the results of pieces.
    fn merges(
        &self,
        name: &str,
        shape: Shape,
        pieces: &[Piece],
    ) -> Result<Vec<(Law, Verdict)>, CheckError> {
        let mut parts = Vec::new();
        for piece in pieces {
            match &piece.given {
                Ok(value) => parts.push(value.clone()),
                Err(message) => {
                    let place = piece_name(&piece.origin);
                    let why = format!(
                        "whether `{name}` is associative, because {place} fails: {message}"
                    );
                    return Ok(vec![(Law::Associative, Verdict::Untried(why))]);
                }
            }
        }
        let Ok(function) = self.module.dynamic_function(name) else {
            return Ok(Vec::new());
        };
        let listed = function
            .signature()
            .params
            .first()
            .map(|(_, ty)| ty.clone());
        let mut reduce = |values: &[&Value]| {
            let arguments = match (shape, &listed) {
                (Shape::List, Some(ty)) => vec![list(values, ty).into()],
                _ => values
                    .iter()
                    .map(|value| Argument::from((*value).clone()))
                    .collect(),
            };
            let given = self.call_on(self.many, &function, arguments)?;
            Ok::<_, CheckError>(given.map_err(|failure| said(&failure)))
        };
        let found = reducer::explore(name, &parts, shape, &mut reduce)?;
        let meant = |message: String| format!("{message}; {}", parts_named(pieces));
        if let Some((call, message)) = found.failure {
            let message = meant(format!("{call} fails: {message}"));
            return Ok(vec![(Law::Associative, Verdict::broken(message))]);
        }
        let verdict = |conflict: Option<reducer::Conflict>, kept: String, law: &str| match conflict
        {
            None => Verdict::Kept(kept),
            Some(conflict) => Verdict::Broken {
                message: meant(format!("`{name}` {law}: {conflict}")),
                difference: match &conflict.other.1 {
                    Ok(value) => Difference::of_values(&conflict.plain.1, value),
                    Err(_) => None,
                },
            },
        };
        let grouping = if found.groupings == 0 {
            let count = parts.len();
            Verdict::untried(format!(
                "whether `{name}` is associative, because {count} of its parts can be grouped in only one way"
            ))
        } else {
            let (groupings, parts) = (found.groupings, parts.len());
            verdict(
                found.grouping,
                format!("`{name}` is associative (other groupings of {parts} parts: {groupings})"),
                "is not associative",
            )
        };
        let mut laws = vec![(Law::Associative, grouping)];
        if shape == Shape::List {
            let kept = format!(
                "`{name}` leaves its own results unchanged ({} of them)",
                found.repeats
            );
            let law = "changes its own result when that is merged alone";
            laws.push((Law::Stable, verdict(found.repeat, kept, law)));
        }
        Ok(laws)
    }

    /// Runs the whole job.
    fn job(
        &self,
        cluster: &Cluster,
        input: &InputSample,
        spec: &JobSpec,
    ) -> Result<Given, CheckError> {
        let job = cluster.run(self.module, vec![Input::path(&input.path)], spec)?;
        let merged = match job.wait() {
            Ok(result) => result.merged,
            Err(error) => return unmade(error).map(Err),
        };
        let Some(merged) = merged else {
            return Ok(Err("there is nothing to merge".to_owned()));
        };
        merged.unpack().map(Ok).map_err(fault)
    }

    fn pieces(
        &self,
        cluster: &Cluster,
        inputs: &[&InputSample],
        chunking: Chunking,
    ) -> Result<Vec<Piece>, CheckError> {
        self.pieces_in(cluster, inputs, chunking, ViewKind::Balanced)
    }

    /// Runs each piece separately, without a merge.
    fn pieces_in(
        &self,
        cluster: &Cluster,
        inputs: &[&InputSample],
        chunking: Chunking,
        view: ViewKind,
    ) -> Result<Vec<Piece>, CheckError> {
        let mut spec = self.spec.clone();
        spec.merge = Merge::None;
        spec.chunking = Some(chunking);
        spec.view = view;
        spec.job.max_failures = Tolerance::Percent(100.0);
        let inputs = inputs.iter().map(|input| Input::path(&input.path));
        let mut job = cluster.run(self.module, inputs.collect(), &spec)?;
        let mut pieces = Vec::new();
        while let Some((origin, outcome)) = job.next_outcome() {
            let given = match outcome.result {
                Ok(packed) => Ok(packed.unpack().map_err(fault)?),
                Err(failure) if failure.code == FailureCode::Cancelled => {
                    return Err(CheckError::Job(JobError::Cancelled));
                }
                Err(failure) => Err(said(&failure)),
            };
            pieces.push(Piece { origin, given });
        }
        match job.wait() {
            Ok(_) => Ok(pieces),
            Err(error) => Err(CheckError::Job(error)),
        }
    }

    /// The function and the arguments of a call.
    fn prepared(&self, call: &CallSample) -> Result<(DynamicCallable, Vec<Argument>), String> {
        let (name, wave) = call.parts();
        let function = self
            .module
            .dynamic_function(name)
            .map_err(|error| error.to_string())?;
        let parsed = Call::parse(&wave).map_err(|error| error.to_string())?;
        let values = parsed.arguments(&function.signature().params);
        let values =
            values.map_err(|error| format!("{error}; the function is {}", function.signature()))?;
        Ok((function, values.into_iter().map(Argument::from).collect()))
    }

    fn call_on(
        &self,
        cluster: &Cluster,
        function: &DynamicCallable,
        arguments: Vec<Argument>,
    ) -> Result<Result<Value, Failure>, CheckError> {
        let view = cluster
            .load_balanced_view()
            .deterministic(self.spec.task.deterministic)
            .blocking();
        match view.apply(function, arguments) {
            Ok(value) => Ok(Ok(value)),
            Err(ApplyError::Failed(error)) => failed(Err(error)),
            Err(ApplyError::Refused(error)) => Err(error.into()),
        }
    }
}

/// Says which piece each part of a message comes from.
fn parts_named(pieces: &[Piece]) -> String {
    let names: Vec<String> = pieces
        .iter()
        .enumerate()
        .map(|(part, piece)| format!("{} of {}", reducer::letter(part), piece_name(&piece.origin)))
        .collect();
    format!("the mapper returned {}", names.join(", "))
}

/// How an input may be cut.
#[derive(Clone, Copy)]
struct Cut {
    /// Its number of lines; `None` if the task gets it whole.
    lines: Option<u64>,
}

impl Cut {
    fn of(module: &Module, spec: &JobSpec, input: &InputSample) -> Result<Self, CheckError> {
        let is_whole = module.form() == Form::Command && spec.map.is_none();
        if is_whole || spec.chunking == Some(Chunking::File) {
            return Ok(Self { lines: None });
        }
        let unreadable = |source| CheckError::Unreadable {
            path: input.path.clone(),
            source,
        };
        let mut file = BufReader::new(fs::File::open(&input.path).map_err(unreadable)?);
        let (mut lines, mut is_open) = (0, false);
        loop {
            let bytes = file.fill_buf().map_err(unreadable)?;
            let Some(last) = bytes.last() else { break };
            is_open = *last != b'\n';
            lines += memchr::memchr_iter(b'\n', bytes).count() as u64;
            let read = bytes.len();
            file.consume(read);
        }
        Ok(Self {
            lines: Some(lines + u64::from(is_open)),
        })
    }
}

/// The number of lines per piece for at most this many pieces.
fn each(lines: u64, pieces: u64) -> NonZeroU64 {
    NonZeroU64::new(lines.div_ceil(pieces)).unwrap_or(NonZeroU64::MIN)
}
