//! The neighbour: a job whose tasks run one after the other, so that one of two engines is enough for it.

use super::guests::{self, put};
use super::place::{Cluster, NEIGHBOUR, Place, end};
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::time::{Duration, Instant};

/// Tasks of a job, and the steps of the first; each task has one more. About 25 ms each.
const TASKS: u32 = 16;
const STEPS: u32 = 20_000_000;

/// How long a job may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// What it works beside.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Beside {
    Nothing,
    Load,
    Attack,
}

pub(super) struct Neighbour<'a> {
    place: &'a Place,
    arguments: Vec<String>,
    expected: String,
    /// How long its jobs took alone, beside a load, and beside the attack.
    pub(super) alone: Vec<Duration>,
    pub(super) loaded: Vec<Duration>,
    pub(super) beside: Vec<Duration>,
    /// Why the first job that was wrong was.
    pub(super) wrong: Option<String>,
}

impl<'a> Neighbour<'a> {
    pub(super) fn new(
        place: &'a Place,
        cluster: Option<&Cluster>,
        options: &[&str],
    ) -> Result<Self> {
        let steps = STEPS..STEPS + TASKS;
        let line = |number: &dyn ToString| number.to_string() + "\n";
        let lines: String = steps.clone().map(|steps| line(&steps)).collect();
        put(&place.dir.join("steps.txt"), lines)?;
        let mut arguments: Vec<String> = ["map", "work.wat", "work", "steps.txt"]
            .map(Into::into)
            .into();
        arguments.extend(["--dispatch-size", "1", "--max-outstanding", "1"].map(Into::into));
        arguments.extend(options.iter().map(|&option| option.into()));
        arguments.extend(match cluster {
            Some(cluster) => [
                format!("--cluster={}", cluster.url),
                "--lane".into(),
                NEIGHBOUR.into(),
            ],
            None => ["--cluster=local", "-j", "1"].map(Into::into),
        });
        Ok(Self {
            place,
            arguments,
            expected: steps.map(|steps| line(&guests::work(steps))).collect(),
            alone: Vec::new(),
            loaded: Vec::new(),
            beside: Vec::new(),
            wrong: None,
        })
    }

    /// Runs jobs for that long, and one at least, into one of the lists, and returns how many.
    pub(super) fn work(&mut self, time: Duration, beside: Beside) -> Result<u32> {
        let start = Instant::now();
        let mut jobs = 0;
        loop {
            let began = Instant::now();
            if let Err(error) = self.job() {
                // What the place lacks is a failure of ours only while nothing is attacked.
                if beside == Beside::Nothing && self.beside.is_empty() && self.wrong.is_none() {
                    return Err(error);
                }
                self.wrong.get_or_insert(format!("{error:#}"));
            }
            let times = match beside {
                Beside::Nothing => &mut self.alone,
                Beside::Load => &mut self.loaded,
                Beside::Attack => &mut self.beside,
            };
            times.push(began.elapsed());
            jobs += 1;
            if start.elapsed() >= time {
                return Ok(jobs);
            }
        }
    }

    /// Runs one and compares its results.
    fn job(&self) -> Result<()> {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let dir = &self.place.dir;
        let (out, said) = (dir.join("neighbour.out"), dir.join("neighbour.log"));
        let mut command = self.place.command(&arguments);
        command
            .stdout(File::create(&out)?)
            .stderr(File::create(&said)?);
        let status = end(&mut command, PATIENCE).context("the neighbour")?;
        let said = fs::read_to_string(said)?;
        ensure!(
            status.success(),
            "the neighbour fails: {status}: {}",
            said.trim()
        );
        ensure!(
            fs::read_to_string(out)? == self.expected,
            "the neighbour's results are wrong"
        );
        Ok(())
    }
}

/// Zero if there is none.
pub(super) fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
