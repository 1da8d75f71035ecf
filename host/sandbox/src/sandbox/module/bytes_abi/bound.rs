//! An ABI in a module: which of its functions allocate, and which of its numbers are pointers and lengths.

use super::{Abi, Convention, PtrLen, ResultForm};
use crate::sandbox::module::facts::Facts;
use crate::sandbox::module::{Binding, Function, Uncallable, numeric};
use rwasm_value::plain::in_line;
use rwasm_value::value::Type;
use std::sync::Arc;
use wasmparser::{FuncType, ValType};

/// The names of allocators that are found without being named, the first one first.
const ALLOCATORS: [&str; 10] = [
    "alloc",
    "allocate",
    "malloc",
    "wasm_alloc",
    "alloc_bytes",
    "allocate_memory",
    "_malloc",
    "__alloc",
    "__wbindgen_malloc",
    "cabi_realloc",
];

/// The names of functions that give such memory back. They are not called unless they are named, since a function may have
/// taken its argument over.
const DEALLOCATORS: [&str; 10] = [
    "dealloc",
    "deallocate",
    "free",
    "wasm_free",
    "wasm_dealloc",
    "dealloc_bytes",
    "deallocate_memory",
    "_free",
    "__dealloc",
    "__wbindgen_free",
];

/// How a plain function is called that takes or returns bytes.
#[derive(Clone, Debug)]
pub(in crate::sandbox) struct BytesCall {
    pub(in crate::sandbox) params: Vec<PlainParam>,
    pub(in crate::sandbox) result: PlainResult,
    pub(in crate::sandbox) allocator: Arc<Allocator>,
}

/// A parameter, as the core function takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum PlainParam {
    Number,
    /// A pointer and a length.
    Bytes,
    /// A pointer to UTF-16, behind the number of its bytes.
    Utf16,
}

/// A result, as the core function returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum PlainResult {
    Numbers,
    /// Pointer and length in one `i64`.
    Packed,
    /// Pointer and length, as two results.
    Two,
    /// The address of a pointer and a length.
    Pair,
    /// The address of bytes that end with a NUL.
    CStr,
    /// The address of UTF-16, behind the number of its bytes.
    Utf16,
}

/// The functions by which a module allocates for the host.
#[derive(Debug)]
pub(in crate::sandbox) struct Allocator {
    pub(in crate::sandbox) alloc: AllocatorFunction,
    /// What it is told beside the size, if it takes that: an alignment or a class.
    pub(in crate::sandbox) kind: i32,
    /// What keeps memory from being collected, if that may happen.
    pub(in crate::sandbox) pin: Option<AllocatorFunction>,
    pub(in crate::sandbox) free: Option<AllocatorFunction>,
}

/// The alignment of bytes.
const BYTE: i32 = 1;

/// The class of strings in AssemblyScript.
const STRING: i32 = 2;

/// An exported function, and how many `i32` it takes.
#[derive(Debug)]
pub(in crate::sandbox) struct AllocatorFunction {
    pub(in crate::sandbox) name: String,
    pub(in crate::sandbox) params: usize,
}

/// An ABI as a module has it: with the functions that it names.
pub(in crate::sandbox::module) struct BoundAbi {
    abi: Convention,
    allocator: Arc<Allocator>,
}

impl BoundAbi {
    /// Finds what the ABI needs; none if functions take numbers alone.
    ///
    /// # Errors
    ///
    /// Returns an error, with a message, if the module does not have it.
    pub(in crate::sandbox::module) fn find(
        abi: &Abi,
        facts: &Facts,
    ) -> Result<Option<Self>, String> {
        let allocator = match &abi.0 {
            Convention::Numbers => return Ok(None),
            _ if !facts.has_memory => {
                return Err("it exports no memory, in which bytes are passed".to_owned());
            }
            Convention::PtrLen(abi) => abi.allocator(facts)?,
            Convention::AssemblyScript(typed) => {
                check_types(typed, facts)?;
                runtime(facts)?
            }
        };
        Ok(Some(Self {
            abi: abi.0.clone(),
            allocator: Arc::new(allocator),
        }))
    }

    /// The function of that name and type; none if it belongs to the ABI itself.
    pub(in crate::sandbox::module) fn function(
        &self,
        name: &str,
        ty: &FuncType,
    ) -> Option<Result<Function, Uncallable>> {
        let is_own = |function: &AllocatorFunction| function.name == name;
        let Allocator { alloc, free, .. } = &*self.allocator;
        if is_own(alloc) || free.as_ref().is_some_and(is_own) || DEALLOCATORS.contains(&name) {
            return None;
        }
        Some(numeric::function(name, ty).map(|function| self.typed(function, ty)))
    }

    /// The function with strings or bytes in place of some numbers.
    fn typed(&self, mut function: Function, ty: &FuncType) -> Function {
        let numbers = std::mem::take(&mut function.params);
        let numbers = numbers.into_iter().map(|(_, number)| number).collect();
        let (params, result, bytes) = match &self.abi {
            Convention::Numbers => return function,
            Convention::PtrLen(abi) => {
                let params = pairs(numbers, &abi.bytes());
                (params, abi.result(ty), abi.bytes())
            }
            Convention::AssemblyScript(typed) => {
                let mut typed = typed.iter();
                let types = typed.find(|(name, _)| *name == function.name);
                let types = types.map(|(_, types)| types.as_str());
                (
                    strings(numbers, types),
                    string_result(ty, types),
                    Type::String,
                )
            }
        };
        let named = params.iter().enumerate();
        let named = named.map(|(index, (_, ty))| (format!("p{index}"), ty.clone()));
        function.params = named.collect();
        if result != PlainResult::Numbers {
            function.result = Some(bytes);
        }
        function.binding = Binding::Bytes(BytesCall {
            params: params.into_iter().map(|(param, _)| param).collect(),
            result,
            allocator: Arc::clone(&self.allocator),
        });
        function
    }
}

/// Takes each two `i32` in a row for a pointer and a length.
fn pairs(numbers: Vec<Type>, bytes: &Type) -> Vec<(PlainParam, Type)> {
    let mut params = Vec::new();
    let mut rest = numbers.into_iter().peekable();
    while let Some(number) = rest.next() {
        let is_pair = number == Type::S32 && rest.next_if_eq(&Type::S32).is_some();
        params.push(if is_pair {
            (PlainParam::Bytes, bytes.clone())
        } else {
            (PlainParam::Number, number)
        });
    }
    params
}

/// Takes each `i32` for a string that is not said to be a number.
fn strings(numbers: Vec<Type>, types: Option<&str>) -> Vec<(PlainParam, Type)> {
    let mut letters = types.unwrap_or_default().bytes();
    let param = |number: Type| match (number, letters.next()) {
        (Type::S32, None | Some(b's')) => (PlainParam::Utf16, Type::String),
        (number, _) => (PlainParam::Number, number),
    };
    numbers.into_iter().map(param).collect()
}

fn string_result(ty: &FuncType, types: Option<&str>) -> PlainResult {
    let is_number = types.is_some_and(|types| !types.ends_with(">s"));
    if ty.results() == [I32] && !is_number {
        PlainResult::Utf16
    } else {
        PlainResult::Numbers
    }
}

/// Checks that functions whose types are given are there, and take as many.
fn check_types(typed: &[(String, String)], facts: &Facts) -> Result<(), String> {
    for (name, types) in typed {
        let shown = in_line(name);
        let ty = facts
            .exported_type(name)
            .ok_or_else(|| format!("it exports no function `{shown}`"))?;
        let (params, result) = types.split_once('>').unwrap_or((types, ""));
        let fits = |letter: u8, ty: &ValType| letter == b'n' || *ty == I32;
        let are_fit = params.len() == ty.params().len()
            && result.len() == ty.results().len()
            && params
                .bytes()
                .zip(ty.params())
                .all(|(letter, ty)| fits(letter, ty))
            && result
                .bytes()
                .zip(ty.results())
                .all(|(letter, ty)| fits(letter, ty));
        if !are_fit {
            return Err(format!(
                "`{types}` are not the types of `{shown}`, which has {} parameters and {} results",
                ty.params().len(),
                ty.results().len()
            ));
        }
    }
    Ok(())
}

/// The runtime of AssemblyScript.
fn runtime(facts: &Facts) -> Result<Allocator, String> {
    let found = |name: &str, fits: fn(&FuncType) -> bool| {
        named(facts, name, fits).ok_or_else(|| {
            format!("it exports no `{name}` of AssemblyScript; build it with `asc --exportRuntime`")
        })
    };
    Ok(Allocator {
        alloc: found("__new", |ty| {
            ty.params() == [I32, I32] && ty.results() == [I32]
        })?,
        kind: STRING,
        pin: Some(found("__pin", |ty| {
            ty.params() == [I32] && ty.results() == [I32]
        })?),
        free: Some(found("__unpin", |ty| {
            ty.params() == [I32] && ty.results().is_empty()
        })?),
    })
}

impl PtrLen {
    /// The type of what is passed.
    fn bytes(&self) -> Type {
        if self.is_binary {
            Type::bytes()
        } else {
            Type::String
        }
    }

    fn result(&self, ty: &FuncType) -> PlainResult {
        match (ty.results(), self.result) {
            ([I32, I32], _) => PlainResult::Two,
            ([ValType::I64], ResultForm::Packed) => PlainResult::Packed,
            ([I32], ResultForm::Pair) => PlainResult::Pair,
            ([I32], ResultForm::CStr) => PlainResult::CStr,
            _ => PlainResult::Numbers,
        }
    }

    fn allocator(&self, facts: &Facts) -> Result<Allocator, String> {
        let alloc = match &self.alloc {
            Some(name) => named(facts, name, is_alloc)
                .ok_or_else(|| missing(facts, name, "an allocator", "(size: i32) -> i32"))?,
            None => usual_allocator(facts).ok_or_else(|| {
                format!(
                    "it exports no allocator with a usual name ({}); name one with alloc=NAME",
                    ALLOCATORS.join(", ")
                )
            })?,
        };
        let free = match &self.free {
            Some(name) => Some(named(facts, name, is_free).ok_or_else(|| {
                missing(
                    facts,
                    name,
                    "a function that frees",
                    "(ptr: i32, size: i32)",
                )
            })?),
            None => None,
        };
        Ok(Allocator {
            alloc,
            kind: BYTE,
            pin: None,
            free,
        })
    }
}

const I32: ValType = ValType::I32;

/// Whether it is `(size)`, `(size, align)`, or the `realloc` of components.
fn is_alloc(ty: &FuncType) -> bool {
    let params = ty.params();
    [1, 2, 4].contains(&params.len()) && params.iter().all(|ty| *ty == I32) && ty.results() == [I32]
}

/// Whether it is `(ptr)`, `(ptr, size)` or `(ptr, size, align)`.
fn is_free(ty: &FuncType) -> bool {
    let params = ty.params();
    (1..=3).contains(&params.len()) && params.iter().all(|ty| *ty == I32) && ty.results().is_empty()
}

/// The exported function of that name, if its type fits.
fn named(facts: &Facts, name: &str, fits: fn(&FuncType) -> bool) -> Option<AllocatorFunction> {
    let ty = facts.exported_type(name).filter(|ty| fits(ty))?;
    Some(AllocatorFunction {
        name: name.to_owned(),
        params: ty.params().len(),
    })
}

fn usual_allocator(facts: &Facts) -> Option<AllocatorFunction> {
    let mut names = ALLOCATORS.iter();
    names.find_map(|name| named(facts, name, is_alloc))
}

fn missing(facts: &Facts, name: &str, what: &str, like: &str) -> String {
    let shown = in_line(name);
    if facts.exported_type(name).is_some() {
        format!("its `{shown}` has another type than {what}, such as {like}")
    } else {
        format!("it exports no function `{shown}`")
    }
}

/// Returns which ABI a plain module appears to have, as the text of one.
pub(in crate::sandbox::module) fn likely(facts: &Facts) -> Option<String> {
    if !facts.has_memory {
        return None;
    }
    if runtime(facts).is_ok() {
        return Some("assemblyscript".to_owned());
    }
    let allocator = usual_allocator(facts)?;
    let takes_bytes = |ty: &&FuncType| ty.params().windows(2).any(|pair| pair == [I32, I32]);
    let is_own = |name: &str| {
        name.starts_with('_')
            || name == allocator.name
            || ALLOCATORS.contains(&name)
            || DEALLOCATORS.contains(&name)
            || ["realloc", "calloc", "memcpy", "memset", "memmove"].contains(&name)
    };
    let types: Vec<&FuncType> = facts
        .exported_functions
        .iter()
        .filter(|(name, _)| !is_own(name))
        .filter_map(|(_, index)| facts.function_type(*index))
        .filter(takes_bytes)
        .collect();
    let any = |results: &[ValType]| types.iter().any(|ty| ty.results() == results);
    if types.is_empty() {
        None
    } else if any(&[ValType::I64]) || any(&[I32, I32]) || !any(&[I32]) {
        Some("ptr-len".to_owned())
    } else {
        Some("ptr-len:result=pair".to_owned())
    }
}
