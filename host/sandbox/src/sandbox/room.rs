//! How much memory the analysis of a module may take: little bytes can name much, such as a type that holds another twice,
//! which holds a third twice. What is to be kept is counted before it is made.

use rwasm_value::units::ByteSize;
use std::collections::HashMap;
use wit_parser::{Resolve, Type, TypeDefKind, TypeId};

/// What the functions and imports of one module may come to: those of the largest modules in use are a hundredth of it.
const MOST: ByteSize = ByteSize::mib(64);

/// What a name, a parameter, or a part of a type takes, beside the text of its name.
const EACH: u64 = 64;

/// What is left for one module.
pub(super) struct Room(u64);

impl Room {
    pub(super) fn new() -> Self {
        Self(MOST.bytes())
    }

    /// Takes room for something with a name of so many bytes.
    ///
    /// # Errors
    /// When there is not as much left, with a text that says so.
    pub(super) fn take(&mut self, name: usize) -> Result<(), String> {
        self.take_all(EACH.saturating_add(name as u64))
    }

    pub(super) fn take_all(&mut self, bytes: u64) -> Result<(), String> {
        self.0 = self.0.checked_sub(bytes).ok_or_else(|| {
            format!(
                "its imports, functions and types take more than {MOST} when written out, the most a module may have"
            )
        })?;
        Ok(())
    }
}

/// What types take when they are written out, each part as often as it is used.
#[derive(Default)]
pub(super) struct Weights(HashMap<TypeId, u64>);

impl Weights {
    /// The weight of a type. Each definition is looked at once, and nesting is bounded by the validation of the binary.
    pub(super) fn of(&mut self, resolve: &Resolve, ty: &Type) -> u64 {
        let Type::Id(id) = ty else {
            return EACH;
        };
        if let Some(known) = self.0.get(id) {
            return *known;
        }
        let mut weight = EACH;
        let mut add = |name: &str, ty: Option<&Type>| {
            let inner = ty.map_or(0, |ty| self.of(resolve, ty));
            weight = weight
                .saturating_add(inner)
                .saturating_add(name.len() as u64);
        };
        match &resolve.types[*id].kind {
            TypeDefKind::Type(ty)
            | TypeDefKind::List(ty)
            | TypeDefKind::FixedLengthList(ty, _)
            | TypeDefKind::Option(ty) => add("", Some(ty)),
            TypeDefKind::Map(key, value) => {
                add("", Some(key));
                add("", Some(value));
            }
            TypeDefKind::Tuple(tuple) => tuple.types.iter().for_each(|ty| add("", Some(ty))),
            TypeDefKind::Result(sides) => {
                add("", sides.ok.as_ref());
                add("", sides.err.as_ref());
            }
            TypeDefKind::Record(record) => {
                record
                    .fields
                    .iter()
                    .for_each(|field| add(&field.name, Some(&field.ty)));
            }
            TypeDefKind::Variant(variant) => {
                variant
                    .cases
                    .iter()
                    .for_each(|case| add(&case.name, case.ty.as_ref()));
            }
            TypeDefKind::Enum(names) => names.cases.iter().for_each(|case| add(&case.name, None)),
            TypeDefKind::Flags(names) => names.flags.iter().for_each(|flag| add(&flag.name, None)),
            TypeDefKind::Resource
            | TypeDefKind::Handle(_)
            | TypeDefKind::Future(_)
            | TypeDefKind::Stream(_)
            | TypeDefKind::Unknown => {}
        }
        self.0.insert(*id, weight);
        weight
    }
}
