//! The attribute and the derive of `rwasm-task`, which documents them. They know the words of an item and not what its
//! types mean: sizes, core types and the WIT of a signature are computed by the compiler, of constants.

mod attributes;
mod derive;
mod export;
mod names;

use proc_macro::TokenStream;

/// Makes a function an export of the module, for the host to call by its name: `word_count` is exported as `word-count`.
///
/// The function stays what it is. Its type in WIT follows from its signature:
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
/// Parameters may be references, to what is lent for the time of the call; a result does not borrow.
///
/// `#[rwasm_task::export(name = "…")]` gives another name, and `#[wit(name = "…")]` before a parameter one for that.
#[proc_macro_attribute]
pub fn export(arguments: TokenStream, item: TokenStream) -> TokenStream {
    match export::expand(arguments.into(), item.clone().into()) {
        Ok(tokens) => tokens.into(),
        Err(error) => {
            // The function stays, so that whoever calls it is not told off as well.
            let mut tokens = TokenStream::from(error.into_compile_error());
            tokens.extend(item);
            tokens
        }
    }
}

/// Gives a struct or an enum a type in WIT, so that it can be an argument and a result.
///
/// - A struct with named fields is a record; `#[wit(flags)]` makes flags of one whose fields are all `bool`. A struct with one
///   unnamed field is what that field is, one with several a tuple.
/// - An enum whose cases carry nothing is an enum, any other one a variant. A case carries one unnamed field or nothing.
///
/// Names come out in WIT's form, `FirstName` and `first_name` as `first-name`. `#[wit(name = "…")]` gives another one, to the
/// type, a field or a case. Functions of one module that use types of the same name must mean the same type.
#[proc_macro_derive(Type, attributes(wit))]
pub fn derive_type(item: TokenStream) -> TokenStream {
    let item = match syn::parse(item) {
        Ok(item) => item,
        Err(error) => return error.into_compile_error().into(),
    };
    let expanded = derive::expand(&item).unwrap_or_else(|error| {
        // Functions that pass the type are not told off as well.
        let mut tokens = error.into_compile_error();
        tokens.extend(derive::placeholder(&item));
        tokens
    });
    expanded.into()
}
