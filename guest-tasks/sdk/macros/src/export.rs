//! `#[rwasm_task::export]`

use crate::attributes::{self, Wit, is_wit};
use crate::names;
use proc_macro2::{Spacing, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use std::collections::HashSet;
use syn::parse::Parser as _;
use syn::spanned::Spanned as _;
use syn::{Error, FnArg, ItemFn, Pat, PatType, Result, ReturnType, Signature, Type};

/// The canonical ABI passes at most this many core values as parameters, and the SDK supports no
/// more parameters.
const MAX_PARAMETERS: usize = 16;

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let mut function: ItemFn = syn::parse2(item).map_err(|error| {
        Error::new(error.span(), "`#[rwasm_task::export]` applies to functions")
    })?;
    let mut name = None;
    syn::meta::parser(|meta| {
        name = Some(attributes::name(&meta, "expected `name = \"…\"`")?);
        Ok(())
    })
    .parse2(arguments)?;
    let name = match name {
        Some(name) => name,
        None => names::of(&function.sig.ident)?,
    };
    check(&function.sig)?;
    let parameters = parameters(&mut function.sig)?;
    let export = Export {
        name: &name,
        signature: &function.sig,
        parameters: &parameters,
    };
    let glue = export.glue();
    Ok(quote! {
        // Only the host calls it, and unit tests have none.
        #[cfg_attr(not(target_family = "wasm"), allow(dead_code))]
        #function
        #glue
    })
}

/// Refuses signatures that have no equivalent in WIT.
fn check(signature: &Signature) -> Result<()> {
    let refuse = |at: &dyn ToTokens, text: &str| {
        let text = format!("a task's function {text}");
        Err(Error::new_spanned(at.to_token_stream(), text))
    };
    if let Some(asyncness) = &signature.asyncness {
        return refuse(
            asyncness,
            "cannot be async: the host runs each call to its end",
        );
    }
    if let Some(unsafety) = &signature.unsafety {
        return refuse(
            unsafety,
            "cannot be unsafe: the host can call it with any arguments",
        );
    }
    if let Some(abi) = &signature.abi {
        return refuse(abi, "cannot have an ABI: remove it");
    }
    if let Some(variadic) = &signature.variadic {
        return refuse(variadic, "must have a fixed number of parameters");
    }
    if signature.generics.type_params().next().is_some()
        || signature.generics.const_params().next().is_some()
    {
        let text =
            "cannot have type parameters: the host calls it with one type for each parameter";
        return refuse(&signature.generics.params, text);
    }
    if signature.generics.lifetimes().next().is_some() {
        let text = "cannot have lifetime parameters: arguments are borrowed for the call, and the result cannot borrow from them";
        return refuse(&signature.generics.params, text);
    }
    if let Some(name) = of_an_impl(signature.to_token_stream()) {
        let text = "cannot be in an `impl`: move it out, and name the type instead of `Self`";
        return refuse(&name, text);
    }
    if let Some(receiver) = signature.receiver() {
        return refuse(
            receiver,
            "cannot be a method: the host has no `self` to call it on",
        );
    }
    if signature.inputs.len() > MAX_PARAMETERS {
        let text = "can have at most 16 parameters: put some into a struct";
        return refuse(&signature.inputs, text);
    }
    if let ReturnType::Type(_, ty) = &signature.output {
        if let Type::Never(never) = &**ty {
            return refuse(never, "must return");
        }
        if let Type::ImplTrait(hidden) = &**ty {
            return refuse(hidden, "must return a named type, not `impl Trait`");
        }
        if let Some(borrow) = borrowed(ty.to_token_stream()) {
            let text = "must return an owned value, not a borrowed one: a `String` or a `&'static str`, a `Vec<T>`";
            return refuse(&borrow, text);
        }
    }
    Ok(())
}

/// Returns the first `Self`, which only exists in an `impl`.
fn of_an_impl(tokens: TokenStream) -> Option<TokenTree> {
    tokens.into_iter().find_map(|token| match token {
        TokenTree::Group(group) => of_an_impl(group.stream()),
        TokenTree::Ident(name) if name == "Self" => Some(TokenTree::Ident(name)),
        _ => None,
    })
}

/// Returns the first `&` that does not precede `'static`.
fn borrowed(tokens: TokenStream) -> Option<TokenTree> {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match &token {
            TokenTree::Group(group) => {
                if let Some(found) = borrowed(group.stream()) {
                    return Some(found);
                }
            }
            TokenTree::Punct(punct) if punct.as_char() == '&' => {
                let quote = tokens.next_if(|token| {
                    matches!(token, TokenTree::Punct(punct) if punct.as_char() == '\'' && punct.spacing() == Spacing::Joint)
                });
                let is_static = quote.is_some()
                    && matches!(tokens.peek(), Some(TokenTree::Ident(name)) if name == "static");
                if !is_static {
                    return Some(token);
                }
            }
            _ => {}
        }
    }
    None
}

/// A parameter: its name in WIT, and its type.
struct Parameter {
    name: String,
    ty: Type,
}

/// Returns the parameters; removes our attributes from the signature.
fn parameters(signature: &mut Signature) -> Result<Vec<Parameter>> {
    let mut parameters = Vec::new();
    let mut names_seen = HashSet::new();
    for (number, input) in (1..).zip(&mut signature.inputs) {
        let FnArg::Typed(PatType { attrs, pat, ty, .. }) = input else {
            continue;
        };
        let name = match (Wit::of(attrs)?.only_name()?, &**pat) {
            (Some(name), _) => name,
            (None, Pat::Ident(pat)) => names::of(&pat.ident)?,
            (None, _) => format!("arg{number}"),
        };
        attrs.retain(|attribute| !is_wit(attribute));
        match &**ty {
            Type::ImplTrait(hidden) => {
                return Err(Error::new(
                    hidden.span(),
                    "a task's function must take named types, not `impl Trait`",
                ));
            }
            Type::Reference(reference) if reference.mutability.is_some() => {
                return Err(Error::new(
                    reference.span(),
                    "a task's function cannot change the host's arguments: take the value itself, and return it",
                ));
            }
            _ => {}
        }
        if !names_seen.insert(name.clone()) {
            let text = format!(
                "two parameters have the WIT name `{name}`: rename one with `#[wit(name = \"…\")]`"
            );
            return Err(Error::new(pat.span(), text));
        }
        parameters.push(Parameter {
            name,
            ty: (**ty).clone(),
        });
    }
    Ok(parameters)
}

struct Export<'a> {
    name: &'a str,
    signature: &'a Signature,
    parameters: &'a [Parameter],
}

impl Export<'_> {
    /// Returns the items beside the function.
    fn glue(&self) -> TokenStream {
        let (name, function) = (self.name, &self.signature.ident);
        let names = self.parameters.iter().map(|parameter| &parameter.name);
        let lifted: Vec<TokenStream> = self.parameters.iter().map(Parameter::lifted).collect();
        let variables: Vec<_> = (0..lifted.len())
            .map(|at| format_ident!("argument{at}"))
            .collect();
        let passed = self
            .parameters
            .iter()
            .zip(&variables)
            .map(|(parameter, variable)| {
                if let Type::Reference(reference) = &parameter.ty {
                    let ty = &reference.elem;
                    quote_spanned!(ty.span()=> <#ty as rt::Parameter>::lend(&#variable))
                } else {
                    quote!(#variable)
                }
            });
        let result = match &self.signature.output {
            ReturnType::Default => quote!(()),
            ReturnType::Type(_, ty) => ty.to_token_stream(),
        };
        let exports = self.exports();
        quote! {
            #[allow(
                unsafe_code, improper_ctypes_definitions, long_running_const_eval, unreachable_pub, unused_qualifications,
                clippy::all, clippy::pedantic, clippy::nursery, clippy::undocumented_unsafe_blocks, clippy::unwrap_used,
                reason = "written by #[rwasm_task::export]"
            )]
            const _: () = {
                use ::rwasm_task::rt;

                struct Function;

                impl rt::Export for Function {
                    const FUNCTION: rt::Function = rt::Function {
                        name: #name,
                        params: &[#(#names),*],
                        types: const { &[#(rt::argument::<#lifted>()),*] },
                        result: rt::given::<#result>(),
                    };
                    type Result = #result;

                    #[inline(always)]
                    unsafe fn call(_arguments: &mut impl rt::Arguments) -> #result {
                        #(let #variables = unsafe { _arguments.take::<#lifted>() };)*
                        #function(#(#passed),*)
                    }
                }

                const SECTION_LEN: usize = rt::export_len(&<Function as rt::Export>::FUNCTION);
                #exports
            };
        }
    }

    /// Returns what the module exports, and its description.
    fn exports(&self) -> TokenStream {
        let name = self.name;
        let section = format!("component-type:rwasm-task:{name}");
        let free = format!("cabi_post_{name}");
        let numbers = 0..MAX_PARAMETERS;
        let values: Vec<_> = numbers
            .clone()
            .map(|at| format_ident!("value{at}"))
            .collect();
        let slots: Vec<_> = numbers
            .map(|at| quote!(rt::Slot<{ rt::parameter::<Function>(#at) }>))
            .collect();
        quote! {
            #[cfg(target_family = "wasm")]
            #[unsafe(link_section = #section)]
            static SECTION: [u8; SECTION_LEN] = rt::export(&<Function as rt::Export>::FUNCTION);

            #[cfg(target_family = "wasm")]
            type Returned = rt::Slot<{ rt::result::<Function>() }>;

            #[cfg(target_family = "wasm")]
            #[unsafe(export_name = #name)]
            unsafe extern "C" fn export(
                #(#values: <#slots as rt::CoreType>::Value),*
            ) -> <Returned as rt::CoreType>::Value {
                let values = [#(<#slots as rt::CoreType>::bits(#values)),*];
                <Returned as rt::CoreType>::of_bits(unsafe { rt::run::<Function>(values) })
            }

            #[cfg(target_family = "wasm")]
            #[unsafe(export_name = #free)]
            unsafe extern "C" fn free(result: <Returned as rt::CoreType>::Value) {
                unsafe { rt::free::<Function>(<Returned as rt::CoreType>::bits(result)) }
            }
        }
    }
}

impl Parameter {
    /// Returns the type that is lifted for it.
    fn lifted(&self) -> TokenStream {
        match &self.ty {
            Type::Reference(reference) => {
                let ty = &reference.elem;
                quote_spanned!(ty.span()=> <#ty as rt::Parameter>::Owned)
            }
            ty => ty.to_token_stream(),
        }
    }
}
