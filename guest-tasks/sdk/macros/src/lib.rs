//! The attribute and the derive of `rwasm-task`, which documents them. They see the tokens of an
//! item, not its types: the compiler computes sizes, core types and the WIT of a signature as
//! constants.

mod attributes;
mod derive;
mod export;
mod names;

use proc_macro::TokenStream;

/// Exports a function from the module, for the host to call by its name: `word_count` is exported
/// as `word-count`.
///
/// The function itself does not change. Its type in WIT follows from its signature:
///
/// | Rust | WIT |
/// |---|---|
/// | `bool`, `char`, `i8` … `u64`, `f32`, `f64` | `bool`, `char`, `s8` … `u64`, `f32`, `f64` |
/// | `String`, `&str` | `string` |
/// | `Vec<T>`, `&[T]` | `list<t>` |
/// | `HashMap<K, V>`, `BTreeMap<K, V>` | `list<tuple<k, v>>` |
/// | `Option<T>`, `(A, B, …)`, `Box<T>` | `option<t>`, `tuple<a, b, …>`, `t` |
/// | `Result<T, E>` with `E: Display` | `result<t, string>` |
/// | `Result<T, Typed<E>>` | `result<t, e>` |
/// | a type with `#[derive(rwasm_task::Type)]` | a record, a variant, an enum or flags |
///
/// Parameters may be references, which are borrowed for the duration of the call. A result cannot
/// borrow.
///
/// `#[rwasm_task::export(name = "…")]` sets another name, and `#[wit(name = "…")]` before a
/// parameter sets the parameter's.
#[proc_macro_attribute]
pub fn export(arguments: TokenStream, item: TokenStream) -> TokenStream {
    match export::expand(arguments.into(), item.clone().into()) {
        Ok(tokens) => tokens.into(),
        Err(error) => {
            // The function stays, so that its callers do not cause errors too.
            let mut tokens = TokenStream::from(error.into_compile_error());
            tokens.extend(item);
            tokens
        }
    }
}

/// Gives a struct or an enum a WIT type, so that it can be an argument and a result.
///
/// - A struct with named fields is a record, or flags with `#[wit(flags)]` if all its fields are
///   `bool`. A struct with one unnamed field has the type of that field; one with several is a
///   tuple.
/// - An enum without payloads is an enum, any other a variant. A case has at most one unnamed
///   field.
///
/// Names are converted to WIT's form: `FirstName` and `first_name` become `first-name`. `#[wit(name
/// = "…")]` sets another name for the type, a field or a case. Functions of one module that use
/// types of the same name must mean the same type.
#[proc_macro_derive(Type, attributes(wit))]
pub fn derive_type(item: TokenStream) -> TokenStream {
    let item = match syn::parse(item) {
        Ok(item) => item,
        Err(error) => return error.into_compile_error().into(),
    };
    let expanded = derive::expand(&item).unwrap_or_else(|error| {
        // Functions that use the type do not cause errors too.
        let mut tokens = error.into_compile_error();
        tokens.extend(derive::placeholder(&item));
        tokens
    });
    expanded.into()
}
