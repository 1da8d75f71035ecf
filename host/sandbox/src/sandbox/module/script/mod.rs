//! Scripts: calls of one instance of a component, one after the other, whose results the next ones use. So resources are
//! made, used and dropped within one task. A script is a function beside those that the component exports.
//!
//! `parse` takes the text apart, and `bind` finds the functions and checks the types.

mod bind;
mod parse;

pub(super) use bind::bind;
pub(in crate::sandbox) use bind::{Error, Gives, Operand, Step, Steps};

use super::load::LoadError;
use super::{Binding, Module};
use rwasm_value::plain::{in_line, plain};
use rwasm_value::units::ByteSize;
use wasm_encoder::{CustomSection, Encode as _};

/// The section of a component that has the text of its script.
pub(super) const SECTION: &str = "rwasm:script";

/// The name of the function that a script is. No export can have it.
pub(super) const NAME: &str = "(script)";

/// The longest script.
const LONGEST: usize = 64 << 10;

/// The most calls of a script.
const MOST_CALLS: usize = 1024;

/// What is wrong with a script.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {message}")]
pub(super) struct ScriptError {
    pub(super) line: usize,
    pub(super) message: String,
}

impl Module {
    /// Returns the same component with a script: another function, [`Module::script_function`], that calls functions of one
    /// instance after each other. Its hash is another one.
    ///
    /// A line is a call, `NAME(ARGUMENTS)`, and may begin with `let NAME =`; `#` begins a comment. A resource is made by
    /// `RESOURCE(…)` or by a static function, `RESOURCE.NAME(…)`; its methods are called by `VARIABLE.NAME(…)`, also on
    /// what a call gives. An argument is a variable, a value in WAVE, or `$NAME`, a parameter of the script. If the last
    /// call has no parentheses, its parameters are the script's. A `result` is its `ok`; an error fails the task. The
    /// script gives what its last line gives. What it made is dropped when it ends.
    ///
    /// ```no_run
    /// # use rwasm_sandbox::sandbox::Module;
    /// let codec = Module::from_file("codec.wasm")?.with_script(
    ///     "let codec = codec.from-config(\"{}\")
    ///      let packed = codec.encode($data)
    ///      codec.decode(packed)",
    /// )?;
    /// let through = codec.script_function().expect("it has a script");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if it is not a component, or if the script does not fit it.
    pub fn with_script(&self, text: &str) -> Result<Self, LoadError> {
        let refused = |message: String| LoadError::Script {
            name: self.name().to_owned(),
            message: in_line(&plain(message)),
        };
        if !self.is_component() {
            return Err(refused("only components have scripts".to_owned()));
        }
        let mut bytes = without_section(&self.bytes).map_err(refused)?;
        let section = CustomSection {
            name: SECTION.into(),
            data: text.as_bytes().into(),
        };
        // The number of a custom section.
        bytes.push(0);
        section.encode(&mut bytes);
        // It was within its limit before.
        let limit = ByteSize::new(u64::MAX);
        let path = self.path().map(ToOwned::to_owned);
        let scripted = Self::analyse(self.name(), path, bytes.into(), limit)?;
        // One that is in a file does not keep its component from being used.
        match scripted.uncallable().last() {
            Some(script) if script.name == NAME => Err(refused(script.reason.clone())),
            _ => Ok(scripted),
        }
    }

    /// Returns the function that its script is, to be called as any other.
    #[must_use]
    pub fn script_function(&self) -> Option<&str> {
        let last = self.functions().last()?;
        matches!(last.binding, Binding::Script(_)).then_some(NAME)
    }

    /// Whether the text is a script rather than the name of a function.
    #[doc(hidden)]
    #[must_use]
    pub fn reads_as_script(&self, text: &str) -> bool {
        self.is_component() && text.contains('(') && self.signature(text).is_none()
    }
}

/// Returns the bytes of a component without the section.
pub(super) fn without_section(bytes: &[u8]) -> Result<Vec<u8>, String> {
    const HEADER: usize = 8;
    let truncated = || "it is truncated".to_owned();
    let mut kept = bytes.get(..HEADER).ok_or_else(truncated)?.to_vec();
    let mut rest = &bytes[HEADER..];
    while let Some((&id, after)) = rest.split_first() {
        let (size, read) = leb(after).ok_or_else(truncated)?;
        let end = 1 + read + size;
        let section = rest.get(..end).ok_or_else(truncated)?;
        let content = &section[1 + read..];
        let name = leb(content).and_then(|(length, read)| content.get(read..read + length));
        if id != 0 || name != Some(SECTION.as_bytes()) {
            kept.extend_from_slice(section);
        }
        rest = &rest[end..];
    }
    Ok(kept)
}

/// A length, and how many bytes it takes.
fn leb(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0_usize;
    for (place, byte) in bytes.iter().take(5).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((value, place + 1));
        }
    }
    None
}
