//! Where the parts of a type are in a guest's memory, and how it is passed as core values.
//!
//! Sizes, alignments and offsets come from wit-parser. This tree holds them without names, in the
//! order of the packed form, so that lowering and lifting walk both side by side.

use wit_parser::{Resolve, SizeAlign, Type as WitType, TypeDefKind};

/// A type as laid out by the canonical ABI.
#[derive(Debug)]
pub(in crate::sandbox) struct Layout {
    pub(super) size: u32,
    pub(super) align: u32,
    pub(super) kind: LayoutKind,
}

#[derive(Debug)]
pub(super) enum LayoutKind {
    Bool,
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
    F32,
    F64,
    Char,
    String,
    /// `list<u8>`
    Bytes,
    List(Box<Layout>),
    /// `map<k, v>`, laid out as a list of pairs; the pair is in here.
    Fields(Vec<(u32, Layout)>),
    Flags {
        count: u32,
    },
    Variant(Variant),
}

/// Variants, enums, options and results: a discriminant, then the payload of the case.
#[derive(Debug)]
pub(super) struct Variant {
    pub(super) discriminant: u32,
    pub(super) payload: u32,
    pub(super) cases: Vec<Option<Layout>>,
}

/// A core value type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Core {
    I32,
    I64,
    F32,
    F64,
}

/// How a function is called: its parameters and result, and which of them are passed in memory.
#[derive(Debug)]
pub(in crate::sandbox) struct Signature {
    /// The layouts of the parameters.
    pub(in crate::sandbox) params: Vec<Layout>,
    /// The layout of the result, if there is one.
    pub(in crate::sandbox) result: Option<Layout>,
    /// Whether the parameters are passed by one pointer to all of them.
    pub(in crate::sandbox) indirect_params: bool,
    /// Whether the result is passed by a pointer that the guest returns.
    pub(in crate::sandbox) indirect_result: bool,
}

/// The canonical ABI passes at most this many core values as parameters.
const MAX_FLAT_PARAMS: usize = 16;

/// And this many as results.
const MAX_FLAT_RESULTS: usize = 1;

impl Layout {
    /// Whether its values are, or may have, pointers.
    fn has_pointers(&self) -> bool {
        match &self.kind {
            LayoutKind::String | LayoutKind::Bytes | LayoutKind::List(_) => true,
            LayoutKind::Fields(fields) => fields.iter().any(|(_, field)| field.has_pointers()),
            LayoutKind::Variant(variant) => {
                variant.cases.iter().flatten().any(Layout::has_pointers)
            }
            _ => false,
        }
    }
}

impl Signature {
    /// Whether anything is passed in memory.
    pub(in crate::sandbox) fn needs_memory(&self) -> bool {
        let mut layouts = self.params.iter().chain(&self.result);
        self.indirect_params || self.indirect_result || layouts.any(Layout::has_pointers)
    }

    /// Returns the signature of `function`; none if a type cannot be passed (resources and the
    /// like).
    pub(in crate::sandbox) fn of(
        resolve: &Resolve,
        sizes: &SizeAlign,
        function: &wit_parser::Function,
    ) -> Option<Self> {
        let params = function
            .params
            .iter()
            .map(|param| Layout::of(resolve, sizes, &param.ty))
            .collect::<Option<Vec<_>>>()?;
        let result = match &function.result {
            Some(ty) => Some(Layout::of(resolve, sizes, ty)?),
            None => None,
        };
        let mut flat = Vec::new();
        for layout in &params {
            layout.flatten(&mut flat);
        }
        let indirect_params = flat.len() > MAX_FLAT_PARAMS;
        flat.clear();
        if let Some(layout) = &result {
            layout.flatten(&mut flat);
        }
        Some(Self {
            params,
            result,
            indirect_params,
            indirect_result: flat.len() > MAX_FLAT_RESULTS,
        })
    }
}

impl Layout {
    fn of(resolve: &Resolve, sizes: &SizeAlign, ty: &WitType) -> Option<Self> {
        let kind = match ty {
            WitType::Bool => LayoutKind::Bool,
            WitType::S8 => LayoutKind::S8,
            WitType::U8 => LayoutKind::U8,
            WitType::S16 => LayoutKind::S16,
            WitType::U16 => LayoutKind::U16,
            WitType::S32 => LayoutKind::S32,
            WitType::U32 => LayoutKind::U32,
            WitType::S64 => LayoutKind::S64,
            WitType::U64 => LayoutKind::U64,
            WitType::F32 => LayoutKind::F32,
            WitType::F64 => LayoutKind::F64,
            WitType::Char => LayoutKind::Char,
            WitType::String => LayoutKind::String,
            WitType::ErrorContext => return None,
            WitType::Id(id) => match &resolve.types[*id].kind {
                TypeDefKind::Type(inner) => return Self::of(resolve, sizes, inner),
                TypeDefKind::List(element) if resolves_to_u8(resolve, element) => LayoutKind::Bytes,
                TypeDefKind::List(element) => {
                    LayoutKind::List(Box::new(Self::of(resolve, sizes, element)?))
                }
                TypeDefKind::Map(key, value) => {
                    LayoutKind::List(Box::new(Self::pair(resolve, sizes, key, value)?))
                }
                TypeDefKind::Tuple(tuple) => {
                    LayoutKind::Fields(fields(resolve, sizes, tuple.types.iter())?)
                }
                TypeDefKind::Record(record) => {
                    let types = record.fields.iter().map(|field| &field.ty);
                    LayoutKind::Fields(fields(resolve, sizes, types)?)
                }
                TypeDefKind::Flags(flags) => LayoutKind::Flags {
                    count: u32::try_from(flags.flags.len()).ok()?,
                },
                TypeDefKind::Enum(names) => variant(
                    resolve,
                    sizes,
                    names.tag(),
                    names.cases.iter().map(|_| None),
                )?,
                TypeDefKind::Variant(cases) => {
                    let types = cases.cases.iter().map(|case| case.ty.as_ref());
                    variant(resolve, sizes, cases.tag(), types)?
                }
                TypeDefKind::Option(some) => variant(
                    resolve,
                    sizes,
                    wit_parser::Int::U8,
                    [None, Some(some)].into_iter(),
                )?,
                TypeDefKind::Result(sides) => {
                    let types = [sides.ok.as_ref(), sides.err.as_ref()];
                    variant(resolve, sizes, wit_parser::Int::U8, types.into_iter())?
                }
                TypeDefKind::Resource
                | TypeDefKind::Handle(_)
                | TypeDefKind::Future(_)
                | TypeDefKind::Stream(_)
                | TypeDefKind::FixedLengthList(..)
                | TypeDefKind::Unknown => return None,
            },
        };
        let size = u32::try_from(sizes.size(ty).size_wasm32()).ok()?;
        let align = u32::try_from(sizes.align(ty).align_wasm32()).ok()?;
        Some(Self { size, align, kind })
    }

    /// The entry of a map, which has no type in WIT.
    fn pair(resolve: &Resolve, sizes: &SizeAlign, key: &WitType, value: &WitType) -> Option<Self> {
        let info = sizes.record([key, value]);
        Some(Self {
            size: u32::try_from(info.size.size_wasm32()).ok()?,
            align: u32::try_from(info.align.align_wasm32()).ok()?,
            kind: LayoutKind::Fields(fields(resolve, sizes, [key, value].into_iter())?),
        })
    }

    /// Returns the names of the core types this type is passed as.
    pub(in crate::sandbox) fn core_types(&self) -> Vec<&'static str> {
        let mut flat = Vec::new();
        self.flatten(&mut flat);
        flat.into_iter()
            .map(|core| match core {
                Core::I32 => "i32",
                Core::I64 => "i64",
                Core::F32 => "f32",
                Core::F64 => "f64",
            })
            .collect()
    }

    /// Appends the core values this type is passed as.
    pub(super) fn flatten(&self, flat: &mut Vec<Core>) {
        match &self.kind {
            LayoutKind::Bool
            | LayoutKind::S8
            | LayoutKind::U8
            | LayoutKind::S16
            | LayoutKind::U16
            | LayoutKind::S32
            | LayoutKind::U32
            | LayoutKind::Char => flat.push(Core::I32),
            LayoutKind::S64 | LayoutKind::U64 => flat.push(Core::I64),
            LayoutKind::F32 => flat.push(Core::F32),
            LayoutKind::F64 => flat.push(Core::F64),
            LayoutKind::String | LayoutKind::Bytes | LayoutKind::List(_) => {
                flat.extend([Core::I32, Core::I32]);
            }
            LayoutKind::Fields(fields) => {
                for (_, field) in fields {
                    field.flatten(flat);
                }
            }
            LayoutKind::Flags { count } => flat.extend((0..count.div_ceil(32)).map(|_| Core::I32)),
            LayoutKind::Variant(variant) => {
                flat.push(Core::I32);
                flat.extend(variant.joined());
            }
        }
    }
}

impl Variant {
    /// Returns core values that can hold the payload of any case.
    pub(super) fn joined(&self) -> Vec<Core> {
        let mut joined: Vec<Core> = Vec::new();
        let mut case_flat = Vec::new();
        for case in self.cases.iter().flatten() {
            case_flat.clear();
            case.flatten(&mut case_flat);
            for (idx, core) in case_flat.iter().enumerate() {
                match joined.get_mut(idx) {
                    Some(have) => *have = join(*have, *core),
                    None => joined.push(*core),
                }
            }
        }
        joined
    }
}

fn join(a: Core, b: Core) -> Core {
    match (a, b) {
        _ if a == b => a,
        (Core::I32, Core::F32) | (Core::F32, Core::I32) => Core::I32,
        _ => Core::I64,
    }
}

fn resolves_to_u8(resolve: &Resolve, ty: &WitType) -> bool {
    match ty {
        WitType::U8 => true,
        WitType::Id(id) => {
            matches!(&resolve.types[*id].kind, TypeDefKind::Type(inner) if resolves_to_u8(resolve, inner))
        }
        _ => false,
    }
}

fn fields<'a>(
    resolve: &Resolve,
    sizes: &SizeAlign,
    types: impl Iterator<Item = &'a WitType> + Clone,
) -> Option<Vec<(u32, Layout)>> {
    sizes
        .field_offsets(types)
        .into_iter()
        .map(|(offset, ty)| {
            let offset = u32::try_from(offset.size_wasm32()).ok()?;
            Some((offset, Layout::of(resolve, sizes, ty)?))
        })
        .collect()
}

fn variant<'a>(
    resolve: &Resolve,
    sizes: &SizeAlign,
    tag: wit_parser::Int,
    types: impl Iterator<Item = Option<&'a WitType>> + Clone,
) -> Option<LayoutKind> {
    let discriminant = match tag {
        wit_parser::Int::U8 => 1,
        wit_parser::Int::U16 => 2,
        wit_parser::Int::U32 => 4,
        wit_parser::Int::U64 => return None,
    };
    let payload = u32::try_from(sizes.payload_offset(tag, types.clone()).size_wasm32()).ok()?;
    let cases = types
        .map(|ty| match ty {
            Some(ty) => Layout::of(resolve, sizes, ty).map(Some),
            None => Some(None),
        })
        .collect::<Option<Vec<_>>>()?;
    Some(LayoutKind::Variant(Variant {
        discriminant,
        payload,
        cases,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(wit: &str) -> Signature {
        let mut resolve = Resolve::default();
        let package = resolve
            .push_str("test.wit", wit)
            .expect("the test's WIT parses");
        let world = resolve.select_world(&[package], None).expect("one world");
        let mut sizes = SizeAlign::default();
        sizes.fill(&resolve);
        let export = resolve.worlds[world]
            .exports
            .values()
            .next()
            .expect("one export");
        let wit_parser::WorldItem::Function(function) = export else {
            panic!("a function")
        };
        Signature::of(&resolve, &sizes, function).expect("all types can cross")
    }

    #[test]
    fn the_word_count_travels_as_the_canonical_abi_says() {
        let mapper = signature(
            "package a:b; world w { export f: func(text: string) -> list<tuple<string, u64>>; }",
        );
        assert!(!mapper.indirect_params);
        assert!(mapper.indirect_result);
        let Some(Layout {
            kind: LayoutKind::List(pair),
            ..
        }) = &mapper.result
        else {
            panic!("a list")
        };
        assert_eq!((pair.size, pair.align), (16, 8));
    }

    #[test]
    fn payloads_join_to_the_wider_core_type() {
        let joined = signature(
            "package a:b; world w { variant v { a(f32), b(u64), c(string) } export f: func(v: v) -> u32; }",
        );
        let mut flat = Vec::new();
        joined.params[0].flatten(&mut flat);
        assert_eq!(flat, [Core::I32, Core::I64, Core::I32]);
        assert!(!joined.indirect_result);
    }

    #[test]
    fn more_than_sixteen_core_parameters_travel_by_memory() {
        let many = "u32, ".repeat(17);
        let by_memory = signature(&format!(
            "package a:b; world w {{ export f: func(t: tuple<{many}>) -> u32; }}"
        ));
        assert!(by_memory.indirect_params);
    }
}
