//! What the zoo has: one file per module in `tests/zoo/modules`, of lines `key: value`. A value goes on in lines that are
//! indented; `#` starts a comment line. `tests/zoo/README.md` describes the keys.

use crate::shell;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// One module.
#[derive(Default)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) does: String,
    pub(super) package: Package,
    pub(super) file: String,
    pub(super) sha256: String,
    pub(super) command: Vec<String>,
    pub(super) before: Vec<Vec<String>>,
    pub(super) files: Vec<String>,
    pub(super) expected: Expected,
    pub(super) is_sample: bool,
}

/// A package of a registry.
#[derive(Default)]
pub(super) struct Package {
    pub(super) registry: Registry,
    pub(super) name: String,
    pub(super) version: String,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Registry {
    #[default]
    PyPi,
    Npm,
}

/// What the program should make of a module.
pub(super) enum Expected {
    /// The same bytes as this script prints.
    Same(Vec<String>),
    /// An error with this text; and the reason, for the table.
    Error { text: String, why: String },
}

impl Default for Expected {
    fn default() -> Self {
        Self::Same(Vec::new())
    }
}

/// All entries, in the order of their names.
pub(super) fn all() -> Result<Vec<Entry>> {
    let dir = shell::root().join("tests/zoo/modules");
    let mut entries = Vec::new();
    for file in fs::read_dir(&dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let path = file?.path();
        entries.push(read(&path).with_context(|| shell::shown(&path))?);
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn read(path: &Path) -> Result<Entry> {
    let text = fs::read_to_string(path).context("cannot be read")?;
    let name = path.file_stem().context("has no name")?;
    Entry::parse(&name.to_string_lossy(), &text)
}

impl Entry {
    fn parse(name: &str, text: &str) -> Result<Self> {
        let mut values = values(text)?;
        let mut take = |key: &str| values.remove(key);
        let mut entry = Self {
            name: name.to_owned(),
            does: take("does").context("`does` is missing")?,
            package: Package::parse(&take("package").context("`package` is missing")?)?,
            file: take("file").context("`file` is missing")?,
            sha256: take("sha256").context("`sha256` is missing")?,
            command: words(&take("command").context("`command` is missing")?)?,
            is_sample: take("sample").is_some_and(|value| value == "yes"),
            ..Self::default()
        };
        if let Some(scripts) = take("before") {
            let scripts = scripts.split(" ; ").map(words);
            entry.before = scripts.collect::<Result<_>>()?;
        }
        entry.files = words(&take("files").unwrap_or_default())?;
        entry.expected = match (take("reference"), take("fails"), take("why")) {
            (Some(script), None, None) => Expected::Same(words(&script)?),
            (None, Some(text), Some(why)) => Expected::Error { text, why },
            _ => bail!("has either `reference`, or `fails` and `why`"),
        };
        ensure!(
            entry.sha256.len() == 64,
            "`sha256` is not a SHA-256 in hexadecimal"
        );
        if let Some(key) = values.keys().next() {
            bail!("`{key}` is not a known key");
        }
        Ok(entry)
    }
}

impl Package {
    fn parse(value: &str) -> Result<Self> {
        let [registry, name, version] = <[String; 3]>::try_from(words(value)?)
            .map_err(|_| anyhow::anyhow!("`package` is a registry, a name and a version"))?;
        let registry = match registry.as_str() {
            "pypi" => Registry::PyPi,
            "npm" => Registry::Npm,
            other => bail!("`{other}` is neither `pypi` nor `npm`"),
        };
        Ok(Self {
            registry,
            name,
            version,
        })
    }

    /// A name for it among files.
    pub(super) fn folder(&self) -> String {
        let name = self.name.trim_start_matches('@').replace('/', "-");
        format!("{name}-{}", self.version)
    }
}

/// The lines of an entry, continued ones joined by a space.
fn values(text: &str) -> Result<BTreeMap<String, String>> {
    let mut values = BTreeMap::new();
    let mut last: Option<String> = None;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if line.trim().is_empty() {
            continue;
        }
        if line.starts_with(' ') {
            let key = last.as_ref().context("starts with an indented line")?;
            let value: &mut String = values.get_mut(key).context("continues nothing")?;
            value.push(' ');
            value.push_str(line.trim());
            continue;
        }
        let (key, value) = line
            .split_once(':')
            .with_context(|| format!("`{line}` is not `key: value`"))?;
        let is_new = values
            .insert(key.to_owned(), value.trim().to_owned())
            .is_none();
        ensure!(is_new, "`{key}` stands twice");
        last = Some(key.to_owned());
    }
    Ok(values)
}

/// The words of a command line. Single quotes keep spaces together; nothing else is special.
fn words(line: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut is_quoted = false;
    for letter in line.chars() {
        match letter {
            '\'' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            ' ' if !is_quoted => words.extend(word.take()),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    ensure!(!is_quoted, "`{line}` has a quote that does not end");
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# A comment.
does: evaluates Python
package: npm @scope/name 1.2.3
file: a/b.wasm
sha256: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
command: run @ a.txt -- -c 'print(1, 2)'
  ''
reference: wasi.py @
";

    #[test]
    fn an_entry_is_read() {
        let entry = Entry::parse("python", TEXT).expect("the text is an entry");
        assert_eq!(entry.package.folder(), "scope-name-1.2.3");
        assert_eq!(
            entry.command,
            ["run", "@", "a.txt", "--", "-c", "print(1, 2)", ""]
        );
        assert!(matches!(entry.expected, Expected::Same(script) if script == ["wasi.py", "@"]));
        for (from, to) in [
            ("file: a/b.wasm\n", ""),
            ("pypi", "cargo"),
            ("reference", "refrence"),
            ("@scope/name 1.2.3", "name"),
            ("''", "'"),
        ] {
            let text = TEXT.replace("npm", "pypi").replace(from, to);
            assert!(Entry::parse("python", &text).is_err(), "{from} -> {to}");
        }
    }

    #[test]
    fn all_entries_are_read() {
        let entries = all().expect("the entries of the zoo are valid");
        assert!(entries.iter().filter(|entry| entry.is_sample).count() >= 5);
    }
}
