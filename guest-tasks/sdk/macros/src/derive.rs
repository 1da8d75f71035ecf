//! `#[derive(rwasm_task::Type)]`

use crate::attributes::Wit;
use crate::names;
use proc_macro2::{TokenStream, TokenTree};
use quote::{format_ident, quote};
use std::collections::HashSet;
use syn::{
    Data, DataEnum, DeriveInput, Error, Fields, FieldsNamed, FieldsUnnamed, Ident, Result, Type,
};

/// WIT does not allow more flags.
const MAX_FLAGS: usize = 32;

/// The parts of a type's traits.
struct Made {
    ty: TokenStream,
    lift: TokenStream,
    load: TokenStream,
    read: TokenStream,
    store: TokenStream,
    flat: TokenStream,
}

pub(crate) fn expand(item: &DeriveInput) -> Result<TokenStream> {
    if let Some(parameter) = item.generics.params.first() {
        return Err(Error::new_spanned(
            parameter,
            "a generic type has no single WIT type: write a struct or an enum for each type that is to be passed",
        ));
    }
    if let Data::Struct(_) | Data::Enum(_) = &item.data
        && let Some(itself) = itself(&item.ident, fields(&item.data))
    {
        return Err(Error::new_spanned(
            itself,
            "a recursive type has no WIT type: put its parts into a list, and let them refer to each other by index",
        ));
    }
    let wit = Wit::of(&item.attrs)?;
    let name = match &wit.name {
        Some(name) => name.clone(),
        None => names::of(&item.ident)?,
    };
    let made = match (&item.data, wit.flags) {
        (Data::Struct(data), Some(_)) => flags(&name, &item.ident, &data.fields)?,
        (Data::Struct(data), None) => match &data.fields {
            Fields::Named(fields) => record(&name, &item.ident, fields)?,
            Fields::Unnamed(fields) => tuple(&item.ident, fields)?,
            Fields::Unit => return Err(nothing(&item.ident)),
        },
        (Data::Enum(_), Some(span)) => {
            return Err(Error::new(
                span,
                "`flags` applies to a struct whose fields are `bool`",
            ));
        }
        (Data::Enum(data), None) => cases(&name, &item.ident, data)?,
        (Data::Union(_), _) => {
            return Err(Error::new_spanned(
                &item.ident,
                "a union has no WIT type: write an enum",
            ));
        }
    };
    Ok(made.implementations(&item.ident))
}

/// The traits of a type that was refused, so that no other errors are reported.
pub(crate) fn placeholder(item: &DeriveInput) -> TokenStream {
    let ident = &item.ident;
    let (parameters, arguments, bounds) = item.generics.split_for_impl();
    let never = quote!(::core::unreachable!());
    quote! {
        #[allow(unsafe_code, unused_variables, reason = "written by #[derive(rwasm_task::Type)]")]
        const _: () = {
            use ::rwasm_task::rt;

            unsafe impl #parameters rt::Type for #ident #arguments #bounds {
                const TY: rt::Ty = rt::Ty::Bool;
            }

            impl #parameters rt::Lift for #ident #arguments #bounds {
                unsafe fn lift(slots: &mut rt::Slots) -> Self {
                    #never
                }

                unsafe fn load(at: *const u8) -> Self {
                    #never
                }

                fn read(json: &rt::Json) -> ::core::result::Result<Self, rt::Mismatch> {
                    #never
                }
            }

            impl #parameters rt::Lower for #ident #arguments #bounds {
                unsafe fn store(&self, at: *mut u8, arena: &mut rt::Arena) {
                    #never
                }

                fn flat(&self) -> u64 {
                    #never
                }
            }
        };
    }
}

/// The types of all fields.
fn fields(data: &Data) -> TokenStream {
    let fields: Vec<&Fields> = match data {
        Data::Struct(data) => vec![&data.fields],
        Data::Enum(data) => data.variants.iter().map(|case| &case.fields).collect(),
        Data::Union(_) => Vec::new(),
    };
    let types = fields.into_iter().flatten().map(|field| &field.ty);
    quote!(#(#types)*)
}

/// Where the type is named among those of its fields. The compiler reports types that contain each
/// other.
fn itself(ident: &Ident, types: TokenStream) -> Option<Ident> {
    types.into_iter().find_map(|token| match token {
        TokenTree::Group(group) => itself(ident, group.stream()),
        TokenTree::Ident(found) if found == *ident || found == "Self" => Some(found),
        _ => None,
    })
}

fn nothing(ident: &Ident) -> Error {
    Error::new_spanned(ident, "an empty type has no WIT type")
}

impl Made {
    fn implementations(self, ident: &Ident) -> TokenStream {
        let Self {
            ty,
            lift,
            load,
            read,
            store,
            flat,
        } = self;
        quote! {
            #[allow(
                unsafe_code, long_running_const_eval, unused_qualifications,
                clippy::all, clippy::pedantic, clippy::nursery, clippy::undocumented_unsafe_blocks, clippy::unwrap_used,
                reason = "written by #[derive(rwasm_task::Type)]"
            )]
            const _: () = {
                use ::core::result::Result::{Err, Ok};
                use ::rwasm_task::rt;

                unsafe impl rt::Type for #ident {
                    const TY: rt::Ty = #ty;
                }

                impl rt::Lift for #ident {
                    #[inline(always)]
                    unsafe fn lift(slots: &mut rt::Slots) -> Self {
                        unsafe { #lift }
                    }

                    #[inline(always)]
                    unsafe fn load(at: *const u8) -> Self {
                        unsafe { #load }
                    }

                    fn read(json: &rt::Json) -> ::core::result::Result<Self, rt::Mismatch> {
                        #read
                    }
                }

                impl rt::Lower for #ident {
                    #[inline(always)]
                    unsafe fn store(&self, at: *mut u8, arena: &mut rt::Arena) {
                        unsafe { #store }
                    }

                    #[inline(always)]
                    fn flat(&self) -> u64 {
                        #flat
                    }
                }
            };
        }
    }
}

/// Returns the names of fields or cases, each set by `#[wit(name = "…")]` if it has that.
fn wit_names<'a>(
    parts: impl Iterator<Item = (&'a Ident, &'a [syn::Attribute])>,
) -> Result<Vec<String>> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for (ident, attributes) in parts {
        let name = match Wit::of(attributes)?.only_name()? {
            Some(name) => name,
            None => names::of(ident)?,
        };
        if !seen.insert(name.clone()) {
            let text =
                format!("`{name}` is the WIT name of two: rename one with `#[wit(name = \"…\")]`");
            return Err(Error::new_spanned(ident, text));
        }
        found.push(name);
    }
    Ok(found)
}

fn named(fields: &FieldsNamed) -> Result<(Vec<&Ident>, Vec<&Type>, Vec<String>)> {
    let idents: Vec<&Ident> = fields
        .named
        .iter()
        .filter_map(|field| field.ident.as_ref())
        .collect();
    let types = fields.named.iter().map(|field| &field.ty).collect();
    let attributes = fields.named.iter().map(|field| &*field.attrs);
    let names = wit_names(idents.iter().copied().zip(attributes))?;
    Ok((idents, types, names))
}

fn record(name: &str, ident: &Ident, fields: &FieldsNamed) -> Result<Made> {
    let (idents, types, names) = named(fields)?;
    if idents.is_empty() {
        return Err(nothing(ident));
    }
    let numbers = 0..idents.len();
    let numbers: Vec<_> = numbers.collect();
    let flat = if let ([ident], [ty]) = (idents.as_slice(), types.as_slice()) {
        quote!(<#ty as rt::Lower>::flat(&self.#ident))
    } else {
        quote!(::core::unreachable!())
    };
    Ok(Made {
        ty: quote!(rt::Ty::Record(#name, const { &[#((#names, rt::both::<#types>())),*] })),
        lift: quote!(Self { #(#idents: <#types as rt::Lift>::lift(slots)),* }),
        load: quote!(Self { #(#idents: rt::load_field::<Self, #types, #numbers>(at)),* }),
        read: quote! {
            let record = rt::Record::new(json, &[#(#names),*])?;
            Ok(Self { #(#idents: record.field::<#types>(#names)?),* })
        },
        store: quote!(#(rt::store_field::<Self, #types, #numbers>(&self.#idents, at, arena);)*),
        flat,
    })
}

/// A struct with unnamed fields: the type of its only field, or a tuple.
fn tuple(ident: &Ident, fields: &FieldsUnnamed) -> Result<Made> {
    let types: Vec<&Type> = fields.unnamed.iter().map(|field| &field.ty).collect();
    if let [ty] = types.as_slice() {
        return Ok(Made {
            ty: quote!(*rt::both::<#ty>()),
            lift: quote!(Self(<#ty as rt::Lift>::lift(slots))),
            load: quote!(Self(<#ty as rt::Lift>::load(at))),
            read: quote!(<#ty as rt::Lift>::read(json).map(Self)),
            store: quote!(<#ty as rt::Lower>::store(&self.0, at, arena)),
            flat: quote!(<#ty as rt::Lower>::flat(&self.0)),
        });
    }
    if types.is_empty() {
        return Err(nothing(ident));
    }
    let numbers: Vec<_> = (0..types.len()).collect();
    let places: Vec<_> = (0..types.len()).map(syn::Index::from).collect();
    let fields: Vec<_> = (0..types.len())
        .map(|at| format_ident!("field{at}"))
        .collect();
    Ok(Made {
        ty: quote!(rt::Ty::Tuple(const { &[#(rt::both::<#types>()),*] })),
        lift: quote!(Self(#(<#types as rt::Lift>::lift(slots)),*)),
        load: quote!(Self(#(rt::load_field::<Self, #types, #numbers>(at)),*)),
        read: quote! {
            let (#(#fields,)*) = <(#(#types,)*) as rt::Lift>::read(json)?;
            Ok(Self(#(#fields),*))
        },
        store: quote!(#(rt::store_field::<Self, #types, #numbers>(&self.#places, at, arena);)*),
        flat: quote!(::core::unreachable!()),
    })
}

fn flags(name: &str, ident: &Ident, fields: &Fields) -> Result<Made> {
    let Fields::Named(fields) = fields else {
        return Err(Error::new_spanned(
            ident,
            "flags need a struct with a named `bool` field for each flag",
        ));
    };
    let (idents, types, names) = named(fields)?;
    for ty in types {
        if !matches!(ty, Type::Path(path) if path.path.is_ident("bool")) {
            return Err(Error::new_spanned(ty, "a flag must be a `bool`"));
        }
    }
    if idents.is_empty() || idents.len() > MAX_FLAGS {
        let text = format!("a type has 1 to 32 flags, not {}", idents.len());
        return Err(Error::new_spanned(ident, text));
    }
    let bits: Vec<u32> = (0..32).take(idents.len()).map(|at| 1 << at).collect();
    let set = quote!(0 #(| if self.#idents { #bits } else { 0 })*);
    Ok(Made {
        ty: quote!(rt::Ty::Flags(#name, &[#(#names),*])),
        lift: quote! {
            let bits = slots.take() as u32;
            Self { #(#idents: bits & #bits != 0),* }
        },
        load: quote! {
            let bits = rt::load_flags::<Self>(at);
            Self { #(#idents: bits & #bits != 0),* }
        },
        read: quote! {
            let [#(#idents),*] = rt::flags(json, [#(#names),*])?;
            Ok(Self { #(#idents),* })
        },
        store: quote!(rt::store_flags::<Self>(#set, at)),
        flat: quote!((#set) as u64),
    })
}

fn cases(name: &str, ident: &Ident, data: &DataEnum) -> Result<Made> {
    if data.variants.is_empty() {
        return Err(nothing(ident));
    }
    let parts = data.variants.iter().map(|case| (&case.ident, &*case.attrs));
    let names = wit_names(parts)?;
    let mut made = Cases::default();
    for ((number, case), name) in (0_u32..).zip(&data.variants).zip(&names) {
        let ident = &case.ident;
        match &case.fields {
            Fields::Unit => made.add_bare(number, ident, name),
            Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
                made.add_carrying(number, ident, name, &fields.unnamed[0].ty);
            }
            fields => {
                return Err(Error::new_spanned(
                    fields,
                    "a case has at most one unnamed field: put several into a tuple, or into a struct with `#[derive(rwasm_task::Type)]`",
                ));
            }
        }
    }
    Ok(made.finish(name, &names))
}

/// Returns the match arms for each case.
#[derive(Default)]
struct Cases {
    carries: bool,
    types: Vec<TokenStream>,
    lift: Vec<TokenStream>,
    load: Vec<TokenStream>,
    read: Vec<TokenStream>,
    store: Vec<TokenStream>,
    numbers: Vec<TokenStream>,
}

impl Cases {
    fn add_bare(&mut self, number: u32, ident: &Ident, name: &str) {
        self.types.push(quote!(&rt::Ty::Unit));
        self.lift.push(quote!(#number => Self::#ident));
        self.load.push(quote!(#number => Self::#ident));
        self.read
            .push(quote!((#name, ::core::option::Option::None) => Ok(Self::#ident)));
        self.store
            .push(quote!(Self::#ident => rt::store_case::<Self>(#number, at)));
        self.numbers.push(quote!(Self::#ident => #number));
    }

    fn add_carrying(&mut self, number: u32, ident: &Ident, name: &str, ty: &Type) {
        self.carries = true;
        self.types.push(quote!(rt::both::<#ty>()));
        self.lift
            .push(quote!(#number => Self::#ident(<#ty as rt::Lift>::lift(slots))));
        self.load
            .push(quote!(#number => Self::#ident(rt::load_payload::<Self, #ty>(at))));
        self.read
            .push(quote!((#name, carried) => rt::payload::<#ty>(#name, carried).map(Self::#ident)));
        self.store.push(quote!(Self::#ident(carried) => {
            rt::store_case::<Self>(#number, at);
            rt::store_payload::<Self, #ty>(carried, at, arena);
        }));
        self.numbers.push(quote!(Self::#ident(_) => #number));
    }

    fn finish(self, name: &str, names: &[String]) -> Made {
        let Self {
            carries,
            types,
            lift,
            load,
            read,
            store,
            numbers,
        } = self;
        let ty = if carries {
            quote!(rt::Ty::Variant(#name, const { &[#((#names, #types)),*] }))
        } else {
            quote!(rt::Ty::Enum(#name, &[#(#names),*]))
        };
        Made {
            ty,
            lift: quote! {
                slots.case::<Self, _>(|slots, case| match case {
                    #(#lift,)*
                    case => rt::no_such_case(case),
                })
            },
            load: quote! {
                match rt::load_case::<Self>(at) {
                    #(#load,)*
                    case => rt::no_such_case(case),
                }
            },
            read: quote! {
                match rt::case(json, &[#(#names),*])? {
                    #(#read,)*
                    _ => Err(rt::Mismatch::of(json, "a case without a payload")),
                }
            },
            store: quote!(match self { #(#store),* }),
            flat: quote! {
                let number: u32 = match self { #(#numbers),* };
                number as u64
            },
        }
    }
}
