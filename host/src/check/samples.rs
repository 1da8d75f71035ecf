//! The samples of a task: a directory with inputs, their expected results, and calls.
//!
//! `X.txt`, with any extension, is an input of the job and `X.expected` its expected result; `calls.txt` has calls of
//! single functions. Hidden files and directories are ignored. All of them are regular files: pipes and devices cannot be
//! read again, and may have no end.

use super::calls::CallSample;
use crate::{ByteSize, Failure, Value};
use rwasm_value::{plain, small_file};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The file of calls.
const CALLS: &str = "calls.txt";

/// The extension of expected results.
const EXPECTED: &str = "expected";

/// The most bytes of a file of calls or of expected results: as much as a task may return by default.
pub(super) const LARGEST: ByteSize = ByteSize::mib(64);

/// The samples of a task.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Samples {
    /// Their directory.
    pub dir: PathBuf,
    /// Inputs of the job, by name.
    pub inputs: Vec<InputSample>,
    /// Calls, by line.
    pub calls: Vec<CallSample>,
    /// The text of the file of calls.
    calls_text: String,
}

/// An input and its expected result.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InputSample {
    /// The name of its file.
    pub name: String,
    /// The path of its file.
    pub path: PathBuf,
    /// The path of the file with its expected result, which need not exist.
    pub expected: PathBuf,
}

/// Why samples cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SamplesError {
    /// The directory does not exist, or contains no samples.
    #[error("there are no samples in `{}`", plain::path(.dir))]
    None {
        /// The directory.
        dir: PathBuf,
    },
    /// A file or the directory cannot be read.
    #[error("cannot read `{}`", plain::path(.path))]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Two inputs would have the same file of expected results.
    #[error("`{first}` and `{second}` share the expected output `{expected}`: rename one of them")]
    Ambiguous {
        /// The first input.
        first: String,
        /// The second input.
        second: String,
        /// Their file of expected results.
        expected: String,
    },
    /// An expected result has no input.
    #[error("`{expected}` has no input: add one with the same name and another extension")]
    NoInput {
        /// Its file.
        expected: String,
    },
    /// A line is not a valid call.
    #[error("`{}`, line {line}: {reason}", plain::path(.path))]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl Samples {
    /// Reads the names of the inputs in a directory, and its calls.
    ///
    /// # Errors
    /// If there are no samples, or they are not valid.
    pub fn read(dir: &Path) -> Result<Self, SamplesError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |source: io::Error| SamplesError::Unreadable { path, source }
        };
        let none = || SamplesError::None {
            dir: dir.to_owned(),
        };
        let listed = match fs::read_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(none()),
            listed => listed.map_err(unreadable(dir))?,
        };
        let mut names = Vec::new();
        for entry in listed {
            let entry = entry.map_err(unreadable(dir))?;
            let name = entry.file_name();
            let is_hidden = name.as_encoded_bytes().starts_with(b".");
            let path = entry.path();
            if is_hidden || path.is_dir() {
                continue;
            }
            match small_file::check_regular(&path) {
                // A link that leads nowhere is missing when it is needed.
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(unreadable(&path)(error));
                }
                _ => names.push(PathBuf::from(name)),
            }
        }
        names.sort();
        let inputs = inputs(dir, &names)?;
        let path = dir.join(CALLS);
        let calls_text = match small_file::read_regular(&path, LARGEST) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            bytes => bytes
                .and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other))
                .map_err(unreadable(&path))?,
        };
        let mut calls = Vec::new();
        for (line, text) in (1..).zip(calls_text.lines()) {
            let call = CallSample::parse(line, text);
            calls.extend(call.map_err(|reason| SamplesError::Line {
                path: path.clone(),
                line,
                reason,
            })?);
        }
        if inputs.is_empty() && calls.is_empty() {
            return Err(none());
        }
        Ok(Self {
            dir: dir.to_owned(),
            inputs,
            calls,
            calls_text,
        })
    }

    /// Returns the path of the file of calls.
    #[must_use]
    pub fn calls_path(&self) -> PathBuf {
        self.dir.join(CALLS)
    }

    /// Returns the text of the file of calls with these results, one for each of [`Samples::calls`]; everything else
    /// stays.
    #[must_use]
    pub fn calls_with(&self, given: &[Result<Value, Failure>]) -> String {
        let mut lines: Vec<String> = self.calls_text.lines().map(str::to_owned).collect();
        for (call, given) in self.calls.iter().zip(given) {
            if let Some(line) = lines.get_mut(call.line - 1) {
                *line = call.with(given);
            }
        }
        lines.into_iter().map(|line| line + "\n").collect()
    }
}

/// The inputs among the files with these names.
fn inputs(dir: &Path, names: &[PathBuf]) -> Result<Vec<InputSample>, SamplesError> {
    let is_expected = |name: &&PathBuf| name.extension().is_some_and(|found| found == EXPECTED);
    let mut inputs: BTreeMap<PathBuf, InputSample> = BTreeMap::new();
    for name in names.iter().filter(|name| !is_expected(name)) {
        if name == Path::new(CALLS) {
            continue;
        }
        let expected = name.with_extension(EXPECTED);
        let input = InputSample {
            name: name.display().to_string(),
            path: dir.join(name),
            expected: dir.join(&expected),
        };
        if let Some(other) = inputs.get(&expected) {
            return Err(SamplesError::Ambiguous {
                first: other.name.clone(),
                second: input.name,
                expected: expected.display().to_string(),
            });
        }
        inputs.insert(expected, input);
    }
    if let Some(expected) = names
        .iter()
        .filter(is_expected)
        .find(|name| !inputs.contains_key(*name))
    {
        return Err(SamplesError::NoInput {
            expected: expected.display().to_string(),
        });
    }
    Ok(inputs.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> Result<Samples, String> {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(dir.path().join(name), content).unwrap();
        }
        fs::create_dir(dir.path().join("more")).unwrap();
        Samples::read(dir.path()).map_err(|error| {
            let place = dir.path().display().to_string();
            error.to_string().replace(&place, "DIR")
        })
    }

    #[test]
    fn inputs_have_names_beside_what_they_give() {
        let samples = read(&[
            ("b.txt", ""),
            ("a", ""),
            ("a.expected", ""),
            (".hidden", ""),
            ("c.d.csv", ""),
        ])
        .unwrap();
        let names: Vec<_> = samples.inputs.iter().map(|input| &*input.name).collect();
        assert_eq!(names, ["a", "b.txt", "c.d.csv"]);
        assert_eq!(
            samples.inputs[2].expected.file_name().unwrap(),
            "c.d.expected"
        );
        assert!(samples.calls.is_empty());
    }

    #[test]
    fn what_is_not_as_it_should_be_is_named() {
        assert_eq!(read(&[]).unwrap_err(), "there are no samples in `DIR`");
        assert_eq!(
            read(&[("calls.txt", "# none\n")]).unwrap_err(),
            "there are no samples in `DIR`"
        );
        let error = Samples::read(Path::new("/no/such/place")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there are no samples in `/no/such/place`"
        );
        let error = read(&[("a.txt", ""), ("a.csv", "")]).unwrap_err();
        assert!(
            error.contains("`a.csv` and `a.txt` share the expected output `a.expected`"),
            "{error}"
        );
        let error = read(&[("a.expected", "")]).unwrap_err();
        assert!(error.contains("`a.expected` has no input"), "{error}");
        let error = read(&[("calls.txt", "f(1) => 2\n\nf(\n")]).unwrap_err();
        assert!(error.starts_with("`DIR/calls.txt`, line 3: "), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn what_has_no_end_is_no_sample() {
        for name in ["calls.txt", "a.expected", "a.txt"] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("a.txt"), "").unwrap();
            let path = dir.path().join(name);
            let _ = fs::remove_file(&path);
            std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
            match Samples::read(dir.path()) {
                Err(SamplesError::Unreadable {
                    path: found,
                    source,
                }) => {
                    assert_eq!(found, path);
                    assert_eq!(source.to_string(), "it is not a regular file");
                }
                other => panic!("{name}: {other:?}"),
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let calls = fs::File::create(dir.path().join(CALLS)).unwrap();
        calls.set_len(LARGEST.bytes() + 1).unwrap();
        match Samples::read(dir.path()) {
            Err(SamplesError::Unreadable { source, .. }) => {
                let message = source.to_string();
                assert!(message.starts_with("expected at most 64MiB"), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn calls_are_written_with_what_they_gave_and_the_rest_stays() {
        let samples = read(&[("calls.txt", "# first\n  f(1)\n\nf(2) => 9\n# last")]).unwrap();
        let given = [Ok(1_u32.into()), Ok(2_u32.into())];
        assert_eq!(
            samples.calls_with(&given),
            "# first\nf(1) => 1\n\nf(2) => 2\n# last\n"
        );
    }
}
