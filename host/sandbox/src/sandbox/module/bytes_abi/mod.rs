//! How plain functions take and return bytes, if somebody says so: a pointer and a length are numbers like any others, so
//! code alone does not state it.
//!
//! An [`Abi`] is a line of text, kept in a custom section of its module. A module with an ABI is another module, with a
//! hash of its own: so wherever it is sent, stored or compared, its ABI is too. `bound` finds what it needs in a module,
//! and the calls themselves are in `run::plain`.

mod bound;

pub(in crate::sandbox) use bound::{
    Allocator, AllocatorFunction, BytesCall, PlainParam, PlainResult,
};
pub(super) use bound::{BoundAbi, likely};

use super::Module;
use super::load::LoadError;
use rwasm_value::plain::{in_line, plain};
use rwasm_value::units::ByteSize;
use std::fmt;
use std::str::FromStr;
use wasm_encoder::{CustomSection, RawSection, Section as _};
use wasmparser::{Parser, Payload};

/// The custom section with the text of a module's ABI.
pub(super) const SECTION: &str = "rwasm-abi";

/// The longest text, in bytes: a few names.
const LONGEST: usize = 4096;

/// How the plain functions of a module take and return bytes; see [`Module::with_abi`].
///
/// Its text is `numbers`, `ptr-len` or `assemblyscript`, with options behind a colon, such as
/// `ptr-len:alloc=malloc,result=cstr`. Those of `ptr-len`, for pointers and lengths in memory that the module allocates:
///
/// - `alloc=NAME`: the exported function that allocates; otherwise one with a usual name is found.
/// - `free=NAME`: the exported function to which the host gives arguments and results back if an instance is kept.
/// - `result=packed|pair|cstr`: `packed` is an `i64` of pointer and length (`ptr << 32 | len`), which is the default, `pair` an
///   `i32` that points to a pointer and a length, `cstr` an `i32` that points to text that ends with a NUL. A function that
///   returns two `i32` returns pointer and length with each of them.
/// - `data=text|bytes`: whether functions take and return strings, as by default, or `list<u8>`.
///
/// With `assemblyscript`, each `i32` is a string of AssemblyScript (`asc --exportRuntime`). An option `NAME=TYPES` says
/// which are not: `repeat=sn>s` is a function of a string and a number that returns a string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abi(Convention);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Convention {
    Numbers,
    PtrLen(PtrLen),
    /// With the types of functions that have numbers among their `i32`.
    AssemblyScript(Vec<(String, String)>),
}

/// Pointer and length, in memory that the module allocates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct PtrLen {
    alloc: Option<String>,
    free: Option<String>,
    result: ResultForm,
    is_binary: bool,
}

/// How bytes are returned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ResultForm {
    #[default]
    Packed,
    Pair,
    CStr,
}

impl ResultForm {
    const ALL: [(Self, &str); 3] = [
        (Self::Packed, "packed"),
        (Self::Pair, "pair"),
        (Self::CStr, "cstr"),
    ];
}

/// The text of an ABI is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AbiError(String);

impl FromStr for Abi {
    type Err = AbiError;

    fn from_str(text: &str) -> Result<Self, AbiError> {
        let text = text.trim();
        if text.len() > LONGEST {
            return Err(AbiError(format!(
                "an ABI has at most {LONGEST} bytes, and this one {}",
                text.len()
            )));
        }
        let (name, options) = text.split_once(':').unwrap_or((text, ""));
        match name {
            "numbers" if options.is_empty() => Ok(Self(Convention::Numbers)),
            "ptr-len" => Ok(Self(Convention::PtrLen(PtrLen::read(options)?))),
            "assemblyscript" => Ok(Self(Convention::AssemblyScript(typed(options)?))),
            _ => Err(AbiError(format!(
                "unknown ABI `{}`: there are `numbers`, `ptr-len` with options such as `ptr-len:alloc=malloc,result=cstr`, and `assemblyscript`",
                in_line(text)
            ))),
        }
    }
}

/// Reads the types of functions of AssemblyScript.
fn typed(options: &str) -> Result<Vec<(String, String)>, AbiError> {
    let mut read = Vec::new();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let parts = option.rsplit_once('=').filter(|(name, types)| {
            let (params, result) = types.split_once('>').unwrap_or((types, ""));
            let are_letters = |text: &str| text.bytes().all(|letter| b"sn".contains(&letter));
            !name.is_empty() && are_letters(params) && are_letters(result) && result.len() <= 1
        });
        let (name, types) = parts.ok_or_else(|| {
            AbiError(format!(
                "`{}` does not say what a function of AssemblyScript takes: write NAME=TYPES, where s is a string and n a number, such as repeat=sn>s",
                in_line(option)
            ))
        })?;
        read.push((name.to_owned(), types.to_owned()));
    }
    Ok(read)
}

impl PtrLen {
    fn read(options: &str) -> Result<Self, AbiError> {
        let mut read = Self::default();
        for option in options.split(',').filter(|option| !option.is_empty()) {
            let wrong = |wanted: &str| {
                AbiError(format!(
                    "`{}` is not an option of the ABI `ptr-len`: {wanted}",
                    in_line(option)
                ))
            };
            let Some((key, value)) = option.split_once('=') else {
                return Err(wrong("write NAME=VALUE, such as alloc=malloc"));
            };
            match key {
                "alloc" | "free" if value.is_empty() => {
                    return Err(wrong("name an exported function"));
                }
                "alloc" => read.alloc = Some(value.to_owned()),
                "free" => read.free = Some(value.to_owned()),
                "result" => {
                    let mut forms = ResultForm::ALL.into_iter();
                    let form = forms.find(|(_, name)| *name == value);
                    read.result = form
                        .ok_or_else(|| wrong("a result is packed, pair or cstr"))?
                        .0;
                }
                "data" => {
                    read.is_binary = match value {
                        "text" => false,
                        "bytes" => true,
                        _ => return Err(wrong("data is text or bytes")),
                    }
                }
                _ => return Err(wrong("there are alloc, free, result and data")),
            }
        }
        Ok(read)
    }
}

impl fmt::Display for Abi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Convention::Numbers => f.write_str("numbers"),
            Convention::AssemblyScript(typed) => {
                f.write_str("assemblyscript")?;
                for (index, (name, types)) in typed.iter().enumerate() {
                    let mark = if index == 0 { ':' } else { ',' };
                    write!(f, "{mark}{name}={types}")?;
                }
                Ok(())
            }
            Convention::PtrLen(PtrLen {
                alloc,
                free,
                result,
                is_binary,
            }) => {
                f.write_str("ptr-len")?;
                let form = ResultForm::ALL.into_iter().find(|(form, _)| form == result);
                let form = form.filter(|(form, _)| *form != ResultForm::default());
                let options = [
                    ("alloc", alloc.as_deref()),
                    ("free", free.as_deref()),
                    ("result", form.map(|(_, name)| name)),
                    ("data", is_binary.then_some("bytes")),
                ];
                let given = options
                    .into_iter()
                    .filter_map(|(key, value)| Some((key, value?)));
                for (index, (key, value)) in given.enumerate() {
                    let mark = if index == 0 { ':' } else { ',' };
                    write!(f, "{mark}{key}={value}")?;
                }
                Ok(())
            }
        }
    }
}

impl Module {
    /// Returns the same module with this ABI, whatever it had before: its plain functions take and return strings or bytes
    /// where they take a pointer and a length. Its hash is another one.
    ///
    /// ```no_run
    /// # use rwasm_sandbox::sandbox::Module;
    /// let module = Module::from_file("redact.wasm")?.with_abi(&"ptr-len".parse()?)?;
    /// let redact = module.function::<&str, String>("redact")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the module has types in WIT, or does not export what the ABI needs.
    pub fn with_abi(&self, abi: &Abi) -> Result<Self, LoadError> {
        let refused = |message: String| LoadError::Abi {
            name: self.name().to_owned(),
            abi: in_line(&abi.to_string()),
            message: in_line(&plain(message)),
        };
        if self.has_wit() {
            return Err(refused(
                "it declares the types of its functions in WIT".to_owned(),
            ));
        }
        let mut bytes = without_section(&self.bytes).map_err(refused)?;
        if abi.0 != Convention::Numbers {
            let section = CustomSection {
                name: SECTION.into(),
                data: abi.to_string().into_bytes().into(),
            };
            section.append_to(&mut bytes);
        }
        // It was within its limit before.
        let limit = ByteSize::new(u64::MAX);
        let path = self.path().map(ToOwned::to_owned);
        Self::analyse(self.name(), path, bytes.into(), limit)
    }
}

/// Returns the bytes of a core module without the section.
fn without_section(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut kept = Vec::with_capacity(bytes.len());
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|error| error.to_string())?;
        let truncated = || "it is truncated".to_owned();
        match &payload {
            Payload::Version { range, .. } => {
                kept.extend_from_slice(bytes.get(range.clone()).ok_or_else(truncated)?);
            }
            Payload::CustomSection(section) if section.name() == SECTION => {}
            other => {
                if let Some((id, range)) = other.as_section() {
                    let data = bytes.get(range).ok_or_else(truncated)?;
                    RawSection { id, data }.append_to(&mut kept);
                }
            }
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: &str = r#"(module
        (memory (export "memory") 1)
        (func (export "alloc") (param i32) (result i32) (i32.const 8))
        (func (export "dealloc") (param i32 i32))
        (func (export "redact") (param i32 i32) (result i64) (i64.const 0))
        (func (export "mixed") (param i64 i32 i32 i32 f32) (result i32) (i32.const 0))
        (func (export "two") (result i32 i32) (i32.const 0) (i32.const 0)))"#;

    fn module(text: &str) -> Module {
        Module::from_bytes("m.wat", text.as_bytes().to_vec()).unwrap()
    }

    fn listed(abi: &str) -> Vec<String> {
        let with = module(SOME).with_abi(&abi.parse().unwrap()).unwrap();
        with.functions().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_abi_is_text() {
        for text in [
            "numbers",
            "ptr-len",
            "ptr-len:alloc=malloc",
            "ptr-len:alloc=a,free=b,result=pair,data=bytes",
            "ptr-len:result=cstr",
            "assemblyscript",
            "assemblyscript:repeat=sn>s,say=s",
        ] {
            assert_eq!(text.parse::<Abi>().unwrap().to_string(), text);
        }
        let spaced: Abi = " ptr-len:result=packed,data=text\n".parse().unwrap();
        assert_eq!(spaced.to_string(), "ptr-len");
        for text in [
            "",
            "ptr",
            "numbers:alloc=a",
            "ptr-len:alloc",
            "ptr-len:alloc=",
            "ptr-len:result=both",
            "ptr-len:data=json",
            "ptr-len:size=1",
            "assemblyscript:repeat=sx>s",
            "assemblyscript:repeat",
            "assemblyscript:=s",
        ] {
            assert!(text.parse::<Abi>().is_err(), "{text}");
        }
    }

    #[test]
    fn pointers_and_lengths_are_bytes() {
        assert_eq!(
            listed("ptr-len"),
            [
                "redact: func(p0: string) -> string",
                "mixed: func(p0: s64, p1: string, p2: s32, p3: f32) -> s32",
                "two: func() -> string",
            ]
        );
        assert_eq!(
            listed("ptr-len:result=cstr,data=bytes,free=dealloc"),
            [
                "redact: func(p0: list<u8>) -> s64",
                "mixed: func(p0: s64, p1: list<u8>, p2: s32, p3: f32) -> list<u8>",
                "two: func() -> list<u8>",
            ]
        );
    }

    #[test]
    fn a_module_with_an_abi_is_another_and_keeps_it_in_its_bytes() {
        let plain = module(SOME);
        let abi: Abi = "ptr-len".parse().unwrap();
        let with = plain.with_abi(&abi).unwrap();
        assert_ne!(with.hash(), plain.hash());
        assert_eq!(with.abi(), Some(&abi));
        let again = Module::from_bytes("again", with.bytes().to_vec()).unwrap();
        assert_eq!(again.abi(), Some(&abi));
        assert_eq!(again.hash(), with.hash());
        assert_eq!(with.with_abi(&abi).unwrap().hash(), with.hash());
        let back = with.with_abi(&"numbers".parse().unwrap()).unwrap();
        assert_eq!((back.hash(), back.abi()), (plain.hash(), None));
    }

    #[test]
    fn what_the_abi_needs_and_the_module_lacks_is_named() {
        let refused = |abi: &str| {
            let refused = module(SOME).with_abi(&abi.parse().unwrap());
            refused.unwrap_err().to_string()
        };
        assert!(refused("ptr-len:alloc=make").contains("no function `make`"));
        assert!(refused("ptr-len:alloc=dealloc").contains("another type than an allocator"));
        assert!(refused("ptr-len:free=redact").contains("another type than a function that frees"));
        let bare = module("(module (memory (export \"memory\") 1))");
        let error = bare.with_abi(&"ptr-len".parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("alloc=NAME"), "{error}");
    }

    #[test]
    fn the_likely_abi_is_recognised() {
        let likely = |text: &str| module(text).likely_abi().map(str::to_owned);
        assert_eq!(likely(SOME).as_deref(), Some("ptr-len"));
        let one = SOME.replace("(result i64) (i64.const 0)", "(result i32) (i32.const 0)");
        assert_eq!(likely(&one).as_deref(), Some("ptr-len:result=pair"));
        for without in [
            SOME.replace("\"alloc\"", "\"make\""),
            SOME.replace("(export \"memory\")", ""),
            "(module (memory (export \"memory\") 1) (func (export \"add\") (param i32 i32)))"
                .to_owned(),
        ] {
            assert_eq!(likely(&without), None, "{without}");
        }
    }
}
