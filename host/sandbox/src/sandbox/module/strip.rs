//! A module without debug sections, and a component made from a core module: new bytes of the same
//! program.
//!
//! Names stay, since backtraces need them, and so do types and any section that is not known to be
//! for debuggers.

use super::foreign::contained;
use super::load::LoadError;
use super::{Form, Module};
use bytes::Bytes;
use wasm_encoder::{RawSection, Section as _};
use wasmparser::{Chunk, Parser, Payload};

impl Module {
    /// Returns the same module without its debug sections, including those of nested modules. It
    /// runs as before; names and types stay.
    ///
    /// # Errors
    ///
    /// Returns an error if the module is malformed in a part that was not checked when it was
    /// loaded.
    pub fn without_debug_sections(&self) -> Result<Self, LoadError> {
        let bytes = stripped(&self.bytes).map_err(|message| LoadError::invalid(self, message))?;
        self.again_as(bytes)
    }

    /// Turns a core module with types, or a WASI command, into a component. A component is returned
    /// unchanged.
    ///
    /// # Errors
    ///
    /// Returns an error if the module has no types, or something that no component can have.
    pub fn to_component(&self) -> Result<Self, LoadError> {
        if self.is_component() {
            return Ok(self.clone());
        }
        let refused = |message: String| LoadError::NoComponent {
            name: self.name().to_owned(),
            message,
        };
        if self.form() == Form::Plain {
            return Err(refused(
                "it has plain functions of numbers and no WIT for them".to_owned(),
            ));
        }
        let bytes = componentize(self).map_err(|error| match error {
            LoadError::Invalid { message, .. } => refused(message),
            other => other,
        })?;
        self.again_as(bytes.into())
    }

    /// Makes a module from other bytes of the same program, which no longer belong to a file.
    fn again_as(&self, bytes: Vec<u8>) -> Result<Self, LoadError> {
        // It was within its limit before; the adapter adds about 100 KB to a component.
        let limits = crate::limits::Limits {
            module: rwasm_value::units::ByteSize::new(u64::MAX),
            ..crate::limits::Limits::default()
        };
        Self::from_bytes_within(self.name(), bytes, &limits)
    }
}

/// Turns a core module with WIT into a component.
pub(in crate::sandbox) fn componentize(module: &Module) -> Result<Bytes, LoadError> {
    use wasi_preview1_component_adapter_provider as adapter;
    let adapter_of_form = match module.form() {
        Form::Command => adapter::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
        _ => adapter::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
    };
    let encode = || {
        wit_component::ComponentEncoder::default()
            .module(&module.bytes)?
            .adapter(
                adapter::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
                adapter_of_form,
            )?
            .validate(true)
            .encode()
    };
    contained(|| encode().map_err(|error: anyhow::Error| format!("{error:#}")))
        .map(Bytes::from)
        .map_err(|message| LoadError::invalid(module, message))
}

/// Whether only debuggers read the custom section.
fn is_for_debuggers(name: &str) -> bool {
    name.starts_with(".debug_")
        || name.starts_with("reloc..debug_")
        || matches!(name, "external_debug_info" | "sourceMappingURL")
}

/// Returns the bytes of a core module or component without debug sections, at any depth.
fn stripped(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut kept = Vec::with_capacity(bytes.len());
    let mut parser = Parser::new(0);
    let mut at = 0;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let parsed = parser.parse(rest, true);
        let (payload, consumed) = match parsed.map_err(|error| error.to_string())? {
            Chunk::Parsed { payload, consumed } => (payload, consumed),
            Chunk::NeedMoreData(_) => return Err("it is truncated".to_owned()),
        };
        at += consumed;
        let inner;
        let (id, data) = match &payload {
            Payload::Version { range, .. } => {
                kept.extend_from_slice(part(bytes, range)?);
                continue;
            }
            Payload::End(_) => return Ok(kept),
            Payload::CustomSection(section) if is_for_debuggers(section.name()) => continue,
            Payload::ModuleSection {
                unchecked_range, ..
            }
            | Payload::ComponentSection {
                unchecked_range, ..
            } => {
                // The parser continues after it, and so do we.
                inner = stripped(part(bytes, unchecked_range)?)?;
                at = unchecked_range.end;
                let id = payload.as_section().map(|(id, _)| id);
                (
                    id.ok_or("it has a section without a kind")?,
                    inner.as_slice(),
                )
            }
            other => match other.as_section() {
                Some((id, range)) => (id, part(bytes, &range)?),
                // Part of a section that was copied as a whole.
                None => continue,
            },
        };
        RawSection { id, data }.append_to(&mut kept);
    }
}

fn part<'b>(bytes: &'b [u8], range: &std::ops::Range<usize>) -> Result<&'b [u8], String> {
    bytes
        .get(range.clone())
        .ok_or_else(|| "it is truncated".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_encoder::{Component, CustomSection, ModuleSection};

    /// A core module with custom sections of these names between and behind its own sections.
    fn core(sections: &[&str]) -> wasm_encoder::Module {
        let mut module = wasm_encoder::Module::new();
        for (index, name) in sections.iter().enumerate() {
            let data = vec![u8::try_from(index).unwrap(); 300];
            module.section(&CustomSection {
                name: (*name).into(),
                data: data.into(),
            });
            if index == 0 {
                let mut memories = wasm_encoder::MemorySection::new();
                memories.memory(wasm_encoder::MemoryType {
                    minimum: 1,
                    maximum: None,
                    memory64: false,
                    shared: false,
                    page_size_log2: None,
                });
                module.section(&memories);
            }
        }
        module
    }

    const ALL: [&str; 7] = [
        ".debug_info",
        "producers",
        ".debug_str",
        "component-types-to-be",
        "sourceMappingURL",
        "external_debug_info",
        "target_features",
    ];
    const KEPT: [&str; 3] = ["producers", "component-types-to-be", "target_features"];

    fn names(bytes: &[u8]) -> Vec<String> {
        let payloads = Parser::new(0).parse_all(bytes);
        let custom = payloads.filter_map(|payload| match payload.unwrap() {
            Payload::CustomSection(section) => Some(section.name().to_owned()),
            _ => None,
        });
        custom.collect()
    }

    #[test]
    fn debug_sections_go_and_others_stay_as_they_are() {
        let whole = core(&ALL).finish();
        let less = stripped(&whole).unwrap();
        assert_eq!(names(&less), KEPT);
        assert_eq!(stripped(&less).unwrap(), less);
        wasmparser::validate(&less).unwrap();
        let without = core(&["producers"]).finish();
        assert_eq!(stripped(&without).unwrap(), without);
    }

    #[test]
    fn modules_within_components_are_stripped_too() {
        let mut inner = Component::new();
        inner.section(&ModuleSection(&core(&ALL)));
        inner.section(&CustomSection {
            name: ".debug_line".into(),
            data: vec![1; 200].into(),
        });
        let mut outer = Component::new();
        outer.section(&wasm_encoder::NestedComponentSection(&inner));
        outer.section(&ModuleSection(&core(&ALL)));
        outer.section(&CustomSection {
            name: "producers".into(),
            data: vec![2; 200].into(),
        });
        let whole = outer.finish();
        let less = stripped(&whole).unwrap();
        wasmparser::validate(&less).unwrap();
        let expected = [&KEPT[..], &KEPT[..], &["producers"]].concat();
        assert_eq!(names(&less), expected);
    }

    #[test]
    fn bytes_that_are_cut_off_are_refused() {
        let whole = core(&ALL).finish();
        for len in 0..whole.len() {
            // Where a section ends is where a module may end.
            if let Ok(less) = stripped(&whole[..len]) {
                assert!(less.len() <= len);
            }
        }
        assert!(stripped(&whole[..whole.len() - 1]).is_err());
    }
}
