//! What a test of WASI's suite says of itself, in the JSON file beside it.

use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// How a test is run, and what it must do.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Spec {
    pub(super) args: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    /// The directory that it has as `/`, beside it.
    pub(super) root: Option<String>,
    pub(super) stdin: String,
    pub(super) stdout: Option<String>,
    pub(super) exit_code: u64,
    /// Whether it uses the network.
    pub(super) sockets: bool,
    /// What it needs that a task does not have.
    pub(super) needs: Option<&'static str>,
}

impl Spec {
    /// Reads what stands beside a test.
    pub(super) fn of(test: &Path) -> Result<Self> {
        let path = test.with_extension("json");
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = fs::read_to_string(&path)?;
        let json = serde_json::from_str(&text);
        let json: Value = json.with_context(|| format!("`{}` is not JSON", path.display()))?;
        Ok(Self::read(&json))
    }

    fn read(json: &Value) -> Self {
        let mut spec = Self::default();
        if json["world"] == "wasi:http/service" {
            spec.needs = Some("it serves HTTP, which a task does not");
        }
        let proposals = json["proposals"].as_array().into_iter().flatten();
        for proposal in proposals {
            spec.sockets |= proposal == "sockets";
        }
        spec.runs(json);
        spec.waits(json);
        for operation in json["operations"].as_array().into_iter().flatten() {
            let payload = || operation["payload"].as_str().unwrap_or_default();
            match operation["type"].as_str().unwrap_or_default() {
                "run" => spec.runs(operation),
                "wait" => spec.waits(operation),
                "write" => spec.stdin += payload(),
                "read" if operation["id"] == "stderr" => {}
                "read" => *spec.stdout.get_or_insert_default() += payload(),
                _ => {
                    spec.needs
                        .get_or_insert("it is a server, and a task has no listening socket");
                }
            }
        }
        if let Some(stdout) = json["stdout"].as_str() {
            spec.stdout = Some(stdout.to_owned());
        }
        spec
    }

    fn runs(&mut self, json: &Value) {
        let words = json["args"].as_array().into_iter().flatten();
        self.args
            .extend(words.filter_map(Value::as_str).map(str::to_owned));
        for (name, value) in json["env"].as_object().into_iter().flatten() {
            let value = value.as_str().unwrap_or_default();
            self.env.insert(name.clone(), value.to_owned());
        }
        if let Some(root) = json["root"].as_str() {
            self.root = Some(root.to_owned());
        }
    }

    fn waits(&mut self, json: &Value) {
        self.exit_code = json["exit_code"].as_u64().unwrap_or(self.exit_code);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_forms_are_read() {
        let old =
            json!({"args": ["a"], "env": {"b": "c"}, "root": "d", "exit_code": 3, "stdout": "e"});
        let new = json!({"operations": [
            {"type": "run", "args": ["a"], "env": {"b": "c"}, "root": "d"},
            {"type": "read", "payload": "e"},
            {"type": "wait", "exit_code": 3},
        ]});
        let wanted = Spec {
            args: vec!["a".to_owned()],
            env: [("b".to_owned(), "c".to_owned())].into(),
            root: Some("d".to_owned()),
            stdout: Some("e".to_owned()),
            exit_code: 3,
            ..Spec::default()
        };
        assert_eq!(Spec::read(&old), wanted);
        assert_eq!(Spec::read(&new), wanted);
    }

    #[test]
    fn what_a_task_does_not_have_is_told() {
        for json in [
            json!({"world": "wasi:http/service"}),
            json!({"operations": [{"type": "connect"}]}),
        ] {
            assert!(Spec::read(&json).needs.is_some(), "{json}");
        }
    }
}
