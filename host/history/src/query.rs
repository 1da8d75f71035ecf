//! Conditions for jobs and tasks of a history, and their SQL.

use super::entry::{JobKind, JobState, TaskState};
use super::rows::time_to_sql;
use rusqlite::types::Value as Sql;
use rwasm_value::ids::EngineId;
use std::time::SystemTime;

/// Selects jobs. All fields that are set must match; none is set by default.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct JobQuery {
    /// The job is in one of these states; any if empty.
    pub states: Vec<JobState>,
    /// The job is of this kind.
    pub kind: Option<JobKind>,
    /// The job's label matches this pattern as a whole: `*` is any text, `?` any character, `[a-z]`
    /// one of these.
    pub label: Option<String>,
    /// One of the job's kept tasks ran last on this engine.
    pub engine: Option<EngineId>,
    /// The job was submitted at that time or later.
    pub since: Option<SystemTime>,
    /// The job was submitted before that time.
    pub until: Option<SystemTime>,
    /// The job's tasks call this function.
    pub function: Option<String>,
    /// The hash of the job's module begins with these hexadecimal digits.
    pub module_hash: Option<String>,
    /// At most this many jobs, the newest ones.
    pub limit: Option<usize>,
}

/// Selects tasks of a job. All fields that are set must match; none is set by default.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct TaskQuery {
    /// The task is in one of these states; any if empty.
    pub states: Vec<TaskState>,
    /// The task failed with this code.
    pub code: Option<String>,
    /// The task ran last on this engine.
    pub engine: Option<EngineId>,
    /// The task last started to run at that time or later.
    pub since: Option<SystemTime>,
    /// The task last started to run before that time.
    pub until: Option<SystemTime>,
    /// The task has this index or a later one: where the next page of a long list begins.
    pub first: u64,
    /// At most this many tasks, the first in input order.
    pub limit: Option<usize>,
}

/// Conditions that must all hold, with their parameters.
#[derive(Default)]
pub(super) struct Conditions {
    texts: Vec<String>,
    pub(super) values: Vec<Sql>,
}

impl Conditions {
    /// Adds a condition on `value`, which `text` calls `?`.
    fn add(&mut self, text: &str, value: impl Into<Sql>) {
        self.texts.push(text.to_owned());
        self.values.push(value.into());
    }

    /// Adds that `column` is one of these names, if there are any.
    fn one_of<'a>(&mut self, column: &str, names: impl ExactSizeIterator<Item = &'a str>) {
        if names.len() == 0 {
            return;
        }
        let marks = vec!["?"; names.len()].join(", ");
        self.texts.push(format!("{column} IN ({marks})"));
        self.values
            .extend(names.map(|name| Sql::from(name.to_owned())));
    }

    /// Returns the `WHERE` clause.
    pub(super) fn clause(&self) -> String {
        if self.texts.is_empty() {
            return String::new();
        }
        format!("WHERE {}", self.texts.join(" AND "))
    }
}

impl JobQuery {
    /// Returns the conditions on a row of `job`, whose column `present` is the state.
    pub(super) fn conditions(&self) -> Conditions {
        let mut all = Conditions::default();
        all.one_of("present", self.states.iter().map(|state| state.name()));
        if let Some(kind) = self.kind {
            all.add("kind = ?", kind.name().to_owned());
        }
        if let Some(label) = &self.label {
            all.add("label GLOB ?", label.clone());
        }
        if let Some(engine) = self.engine {
            let of_job = "SELECT 1 FROM task WHERE task.job = key AND task.engine = ?";
            all.add(&format!("EXISTS ({of_job})"), i64::from(engine.0));
        }
        if let Some(since) = self.since {
            all.add("submitted >= ?", time_to_sql(since));
        }
        if let Some(until) = self.until {
            all.add("submitted < ?", time_to_sql(until));
        }
        if let Some(function) = &self.function {
            all.add("function = ?", function.clone());
        }
        if let Some(prefix) = &self.module_hash {
            // Parameters are numbered, so the length is a literal.
            let text = format!("substr(module_hash, 1, {}) = ?", prefix.chars().count());
            all.add(&text, prefix.to_ascii_lowercase());
        }
        all
    }
}

impl TaskQuery {
    /// Returns the conditions on a row of `task`.
    pub(super) fn conditions(&self, job: i64) -> Conditions {
        let mut all = Conditions::default();
        all.add("task.job = ?", job);
        let first = i64::try_from(self.first).unwrap_or(i64::MAX);
        all.add("position >= ?", first);
        all.one_of("task.state", self.states.iter().map(|state| state.name()));
        if let Some(code) = &self.code {
            all.add("code = ?", code.clone());
        }
        if let Some(engine) = self.engine {
            all.add("engine = ?", i64::from(engine.0));
        }
        if let Some(since) = self.since {
            all.add("started >= ?", time_to_sql(since));
        }
        if let Some(until) = self.until {
            all.add("started < ?", time_to_sql(until));
        }
        all
    }
}

/// Returns the `LIMIT` of a query.
pub(super) fn limit(limit: Option<usize>) -> i64 {
    limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX))
}
