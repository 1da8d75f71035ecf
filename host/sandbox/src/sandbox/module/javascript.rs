//! The functions that toolchains import from JavaScript and that this host provides in its place: those of AssemblyScript,
//! and the harmless ones of Emscripten. `world::javascript` has what they do.

/// The module that they are imported from.
pub(in crate::sandbox) const ENV: &str = "env";

/// What such a function does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum JsFunction {
    /// Nothing: JavaScript keeps views of memory, or state of its own, and this host does not.
    Nothing,
    /// Traps with a message, a file, a line and a column, in the strings of AssemblyScript.
    AbortWithText,
    /// Traps with a condition, a file, a line and a function, in the strings of C.
    AbortWithAssertion,
    /// Traps.
    Abort,
    /// Prints a string of AssemblyScript to stdout, or to stderr.
    PrintOut,
    PrintError,
    /// Prints a string of AssemblyScript and some numbers to stderr.
    Trace,
    /// Returns random numbers: a seed, or one from 0 to 1.
    Seed,
    Random,
    /// Copies within memory, and returns where to if that is asked for.
    Copy,
    /// Grows the memory to a size, and returns whether it has it.
    ResizeHeap,
    /// Returns milliseconds since 1970, or since some time.
    WallTime,
    MonotonicTime,
    /// Returns 1.
    Yes,
}

/// Their names and types: parameters and results, where `i` is i32, `f` f32, `I` i64 and `F` f64.
const FUNCTIONS: [(&str, &str, JsFunction); 27] = [
    // AssemblyScript.
    ("abort", "iiii>", JsFunction::AbortWithText),
    ("trace", "iiFFFFF>", JsFunction::Trace),
    ("seed", ">F", JsFunction::Seed),
    ("console.log", "i>", JsFunction::PrintOut),
    ("console.info", "i>", JsFunction::PrintOut),
    ("console.debug", "i>", JsFunction::PrintOut),
    ("console.warn", "i>", JsFunction::PrintError),
    ("console.error", "i>", JsFunction::PrintError),
    ("Date.now", ">F", JsFunction::WallTime),
    ("performance.now", ">F", JsFunction::MonotonicTime),
    ("Math.random", ">F", JsFunction::Random),
    // Emscripten.
    ("abort", ">", JsFunction::Abort),
    ("_abort_js", ">", JsFunction::Abort),
    ("__assert_fail", "iiii>", JsFunction::AbortWithAssertion),
    ("emscripten_notify_memory_growth", "i>", JsFunction::Nothing),
    (
        "_emscripten_runtime_keepalive_clear",
        ">",
        JsFunction::Nothing,
    ),
    ("emscripten_memcpy_big", "iii>i", JsFunction::Copy),
    ("emscripten_memcpy_big", "iii>", JsFunction::Copy),
    ("emscripten_memcpy_js", "iii>", JsFunction::Copy),
    ("_emscripten_memcpy_js", "iii>", JsFunction::Copy),
    ("emscripten_resize_heap", "i>i", JsFunction::ResizeHeap),
    ("emscripten_date_now", ">F", JsFunction::WallTime),
    ("_emscripten_date_now", ">F", JsFunction::WallTime),
    ("emscripten_get_now", ">F", JsFunction::MonotonicTime),
    ("_emscripten_get_now", ">F", JsFunction::MonotonicTime),
    ("emscripten_get_now_is_monotonic", ">i", JsFunction::Yes),
    ("_emscripten_get_now_is_monotonic", ">i", JsFunction::Yes),
];

/// Returns what the host provides for an import of this name and type; none if it provides nothing.
pub(in crate::sandbox) fn provided(module: &str, name: &str, ty: &str) -> Option<JsFunction> {
    if module != ENV {
        return None;
    }
    let mut functions = FUNCTIONS.into_iter();
    let found = functions.find(|(known, known_ty, _)| *known == name && *known_ty == ty);
    found.map(|(_, _, function)| function)
}

/// Writes a type as above. What is not a number is a question mark.
pub(in crate::sandbox) fn written<T: ToString>(
    params: impl IntoIterator<Item = T>,
    results: impl IntoIterator<Item = T>,
) -> String {
    let letter = |ty: T| match ty.to_string().as_str() {
        "i32" => 'i',
        "i64" => 'I',
        "f32" => 'f',
        "f64" => 'F',
        _ => '?',
    };
    let mut written: String = params.into_iter().map(letter).collect();
    written.push('>');
    written.extend(results.into_iter().map(letter));
    written
}

/// Whether an import of that type is AssemblyScript's.
pub(super) fn is_of_assemblyscript(module: &str, name: &str, ty: &str) -> bool {
    let abort = Some(JsFunction::AbortWithText);
    provided(module, name, ty) == abort
}
