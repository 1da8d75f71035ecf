//! What a module is: a program that a user brought, identified by its SHA-256, analyzed but not yet
//! compiled.
//!
//! `load` (with `facts`) and `wit` (with `signature`) analyse it, within `room` and with panics of
//! parsers contained by `foreign`; `merged` reads the WIT that it carries, and `numeric` what it has
//! if it carries none, with `bytes_abi` if it is known how they take bytes. `script` makes a function of several calls. `imports` lists what the host provides, with `javascript`, and `needs` what the module may
//! access. `names` finds a function by its name, and `function` checks its types against Rust's.
//! `printed` writes the WIT, `strip` makes other modules of the same program, and `valid` validates
//! the code for engines elsewhere.

mod bare_exports;
pub(in crate::sandbox) mod bytes_abi;
mod demands;
mod facts;
mod foreign;
pub(super) mod function;
pub(super) mod imports;
pub(super) mod javascript;
pub(super) mod load;
mod merged;
mod names;
pub(super) mod needs;
mod numeric;
mod printed;
mod room;
mod script;
mod signature;
mod streamed;
pub(super) mod strip;
pub(super) mod valid;
mod wit;

use crate::sandbox::abi::Signature;
use bytes::Bytes;
use bytes_abi::{Abi, BytesCall};
pub(in crate::sandbox) use demands::Demands;
use names::Functions;
use rwasm_value::plain::in_line;
use rwasm_value::value::Type;
pub(in crate::sandbox) use script::{Error as StepError, Gives, Operand, Step, Steps};
use sha2::{Digest, Sha256};
use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
#[cfg(test)]
pub(in crate::sandbox) use wit::has_fixed_list;

/// A module: its bytes, and what is known of it. Cheap to clone.
#[derive(Clone)]
pub struct Module {
    info: ModuleInfo,
    bytes: Bytes,
}

/// What is known of a module without its bytes: its form, and the functions it exports. Cheap to clone.
#[derive(Clone)]
pub struct ModuleInfo(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) name: String,
    pub(super) path: Option<PathBuf>,
    pub(super) size: u64,
    /// What its functions and imports take here, in bytes.
    pub(super) weight: u64,
    pub(super) hash: ModuleHash,
    pub(super) form: Form,
    pub(super) is_component: bool,
    /// Whether it declares its imports and exports in WIT, as components and typed core modules do.
    pub(super) has_wit: bool,
    pub(super) functions: Functions,
    pub(super) uncallable: Vec<Uncallable>,
    pub(super) imports: Vec<Import>,
    pub(super) demands: Demands,
    /// Whether it is a program for WASI 0.3.
    pub(super) is_preview3: bool,
    /// Whether its `_start` is run before its functions, as its initialization.
    pub(super) begins_with_start: bool,
    /// How its plain functions take bytes, if it says so.
    pub(super) abi: Option<Abi>,
    /// How they appear to, as the text of an ABI, if it does not.
    pub(super) likely_abi: Option<String>,
    /// The text of its script, if it has one.
    pub(super) script: Option<String>,
    /// The hash of what is compiled: without a script.
    pub(super) code_hash: ModuleHash,
    /// Of a component, what it imports that nothing can stand for, or exports that wasmtime does not.
    pub(super) unlinkable: Option<String>,
}

/// The form of a module, which determines how its functions are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// A program: a core module with `_start`, or a component that exports `wasi:cli/run`.
    Command,
    /// A core module that carries the WIT of its exports.
    TypedCore,
    /// A component.
    Component,
    /// A core module whose exports take and return numbers.
    Plain,
}

impl Form {
    /// Returns the form's name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Command => "WASI command",
            Self::TypedCore | Self::Component => "typed functions",
            Self::Plain => "plain functions",
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A function that a module exports.
#[derive(Debug)]
#[non_exhaustive]
pub struct Function {
    /// Its name; in an interface, `package:name/interface#function`.
    pub name: String,
    /// Its parameters: name and type.
    pub params: Vec<(String, Type)>,
    /// The type of its result, if it has one.
    pub result: Option<Type>,
    pub(super) binding: Binding,
    /// The function as its WIT declares it, if its values do not tell: a stream is a list here, and what is async returns
    /// like any other.
    pub(super) declared: Option<Box<str>>,
    /// Whether its only parameter is a `stream<u8>`, so that an input flows into it instead of being copied.
    pub(in crate::sandbox) is_fed: bool,
    /// What its result gives one after the other, if that is a stream or a future.
    pub(super) elements: Option<Elementwise>,
}

/// What a result that is a stream or a future gives, also as the `ok` of a `result`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[doc(hidden)]
pub enum Elementwise {
    /// Any number of values of this type.
    Stream(Type),
    /// Bytes, in pieces as they come.
    Bytes,
    /// One value of this type.
    Future(Type),
}

impl Elementwise {
    /// Returns the type of one element.
    #[must_use]
    pub fn ty(&self) -> Type {
        match self {
            Self::Stream(ty) | Self::Future(ty) => ty.clone(),
            Self::Bytes => Type::bytes(),
        }
    }
}

impl Function {
    /// Returns what its result gives while a task still runs, if that is a stream or a future.
    #[doc(hidden)]
    #[must_use]
    pub fn elementwise(&self) -> Option<&Elementwise> {
        self.elements.as_ref()
    }

    /// Returns the type of the elements that its result gives one after the other, if that is a stream or a future. Those of a
    /// `stream<u8>` are pieces of its bytes.
    #[must_use]
    pub fn element_type(&self) -> Option<Type> {
        self.elements.as_ref().map(Elementwise::ty)
    }
}

/// A function that a module exports but no task can call, because its types cannot be values: a
/// task's input is copied in and its result copied out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Uncallable {
    /// Its name; in an interface, `package:name/interface#function`.
    pub name: String,
    /// Its parameters and its result, as in WIT: `func(path: string) -> file`.
    pub wit: String,
    /// The type that is not supported, its place, and why.
    pub reason: String,
}

impl Function {
    /// Whether its arguments or its result pass through the module's memory.
    fn needs_memory(&self) -> bool {
        matches!(&self.binding, Binding::Typed(signature) if signature.needs_memory())
    }
}

/// Writes the function as WIT does.
impl fmt::Display for Uncallable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", in_line(&self.name), self.wit)
    }
}

/// How a function is found and called in its module.
#[derive(Debug)]
pub(super) enum Binding {
    /// An export of a core module that uses the canonical ABI.
    Typed(Signature),
    /// An export of a component: its instance, if it is in one, and its name there.
    Component {
        instance: Option<String>,
        function: String,
    },
    /// An export of a core module that takes and returns numbers.
    Plain,
    /// An export of a core module that takes or returns pointers and lengths.
    Bytes(BytesCall),
    /// Calls of several exports of a component.
    Script(Arc<Steps>),
}

/// Writes the function as WIT does: `mapper: func(text: string) -> u64`.
impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, |f, ty| ty.fmt(f))
    }
}

/// The same for messages: without most fields and cases of types that have many.
struct Brief<'a>(&'a Function);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, |f, ty| ty.brief().fmt(f))
    }
}

impl Function {
    /// Returns the function as WIT writes it, without most fields and cases of types that have many: for messages.
    #[doc(hidden)]
    #[must_use]
    pub fn brief(&self) -> impl fmt::Display {
        Brief(self)
    }

    fn write(
        &self,
        f: &mut fmt::Formatter<'_>,
        write_type: impl Fn(&mut fmt::Formatter<'_>, &Type) -> fmt::Result,
    ) -> fmt::Result {
        // The name may be any text.
        write!(f, "{}: ", in_line(&self.name))?;
        if let Some(declared) = &self.declared {
            return f.write_str(declared);
        }
        f.write_str("func(")?;
        for (idx, (name, ty)) in self.params.iter().enumerate() {
            let comma = if idx > 0 { ", " } else { "" };
            write!(f, "{comma}{name}: ")?;
            write_type(f, ty)?;
        }
        f.write_str(")")?;
        match &self.result {
            Some(ty) => {
                f.write_str(" -> ")?;
                write_type(f, ty)
            }
            None => Ok(()),
        }
    }
}

/// What a task calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(hidden)]
pub enum Callee {
    /// The program of a WASI command.
    Command,
    /// The function of the module with this index.
    Function(usize),
}

/// Returns the type of the value that a call of `function` gives: a `result` counts as its `ok`.
#[doc(hidden)]
pub fn value_type(function: &Function) -> Type {
    match &function.result {
        None => Type::tuple([]),
        Some(Type::Result(sides)) => sides.ok.clone().unwrap_or_else(|| Type::tuple([])),
        Some(ty) => ty.clone(),
    }
}

/// An import of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Import {
    /// The module or interface that it is imported from.
    pub module: String,
    /// Its name there; empty for a whole interface.
    pub name: String,
    /// Whether this host provides it. A module loads without it, and fails only if it calls it.
    pub offered: bool,
}

/// The SHA-256 of a module's bytes. It displays as lowercase hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModuleHash([u8; 32]);

impl ModuleHash {
    #[doc(hidden)]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for ModuleHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ModuleHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.info.fmt(f)
    }
}

impl fmt::Debug for ModuleInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module")
            .field("name", &self.0.name)
            .field("hash", &self.0.hash)
            .field("form", &self.0.form)
            .finish_non_exhaustive()
    }
}

impl Module {
    /// Returns its binary form, shared.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn shared_bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// Returns what is known of it, which outlives its bytes.
    #[must_use]
    pub fn info(&self) -> &ModuleInfo {
        &self.info
    }

    /// Returns the memory that it begins with, all that it has together, in bytes: the least that
    /// [`Limits::memory`](crate::limits::Limits::memory) must allow.
    #[must_use]
    pub fn initial_memory(&self) -> u64 {
        self.0.demands.initial_memory
    }

    /// Returns how many elements its tables begin with, together: the least that
    /// [`Limits::table_elements`](crate::limits::Limits::table_elements) must allow.
    #[must_use]
    pub fn initial_table_elements(&self) -> u64 {
        self.0.demands.all_table_elements
    }
}

impl Deref for Module {
    type Target = ModuleInfo;

    fn deref(&self) -> &ModuleInfo {
        &self.info
    }
}

impl ModuleInfo {
    /// Returns its name in errors: its path, or the name it was loaded under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns the absolute path of the file it was loaded from; `None` if it was loaded from
    /// memory.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// Returns the SHA-256 of its binary form.
    #[must_use]
    pub fn hash(&self) -> ModuleHash {
        self.0.hash
    }

    /// Returns the size of its binary form, in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.size
    }

    /// What is known of it takes about so many bytes, which need not be in proportion to its size.
    #[doc(hidden)]
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.0.weight
    }

    /// Returns its form.
    #[must_use]
    pub fn form(&self) -> Form {
        self.0.form
    }

    /// Whether it is a component rather than a core module.
    #[must_use]
    pub fn is_component(&self) -> bool {
        self.0.is_component
    }

    /// Whether it declares its types in WIT, as components and typed core modules do.
    #[must_use]
    pub fn has_wit(&self) -> bool {
        self.0.has_wit
    }

    /// Whether an input flows into this while it runs, instead of being copied: into a program's stdin, or a stream.
    #[doc(hidden)]
    #[must_use]
    pub fn streams_input(&self, callee: Callee) -> bool {
        match callee {
            Callee::Command => true,
            Callee::Function(place) => self.functions()[place].is_fed,
        }
    }

    /// Whether it is a program for WASI 0.3.
    pub(in crate::sandbox) fn is_preview3(&self) -> bool {
        self.0.is_preview3
    }

    /// Returns how its plain functions take and return bytes; `None` if they take numbers.
    #[must_use]
    pub fn abi(&self) -> Option<&Abi> {
        self.0.abi.as_ref()
    }

    /// Returns how its plain functions appear to take and return bytes, judged by its exports, as the text of an [`Abi`]. A
    /// module that has an ABI is not judged.
    #[must_use]
    pub fn likely_abi(&self) -> Option<&str> {
        self.0.likely_abi.as_deref()
    }

    /// Returns the text of its script; see [`Module::with_script`].
    #[must_use]
    pub fn script(&self) -> Option<&str> {
        self.0.script.as_deref()
    }

    /// Returns the hash of what is compiled, which is the same for all scripts of a component.
    pub(in crate::sandbox) fn code_hash(&self) -> ModuleHash {
        self.0.code_hash
    }

    /// Whether its `_start` prepares it, so that it is run before a function is called. That of a WASI command is its program,
    /// beside which its functions stand; AssemblyScript (`--exportStart _start`) initializes what they use.
    pub(in crate::sandbox) fn begins_with_start(&self) -> bool {
        self.0.begins_with_start
    }

    /// Returns what it demands of the engine that runs it.
    pub(in crate::sandbox) fn demands(&self) -> Demands {
        self.0.demands
    }

    /// Returns the functions it exports, in the order of the module.
    #[must_use]
    pub fn functions(&self) -> &[Function] {
        self.0.functions.list()
    }

    /// Returns the functions it exports that no task can call, in the order of the module.
    #[must_use]
    pub fn uncallable(&self) -> &[Uncallable] {
        &self.0.uncallable
    }

    /// Returns the parameters and result of the function with that name, if there is one. To call a
    /// function, and for the names it can have, see [`Module::function`].
    #[must_use]
    pub fn signature(&self, name: &str) -> Option<&Function> {
        Some(&self.functions()[self.position(name).ok()?])
    }

    /// Whether it may read values that were pushed to its engine.
    #[doc(hidden)]
    pub fn reads_pushed_values(&self) -> bool {
        let imports = &self.0.imports;
        imports
            .iter()
            .any(|import| import.module.starts_with("rwasm:task/host@"))
    }

    /// Returns its imports.
    #[must_use]
    pub fn imports(&self) -> &[Import] {
        &self.0.imports
    }
}
