//! How much memory the analysis of a module may take. A few bytes can describe much, such as a type
//! that contains another twice, which contains a third twice. What is kept is measured before it is
//! built.

use rwasm_value::units::ByteSize;
use std::collections::HashMap;
use wit_parser::{Resolve, Type, TypeDefKind, TypeId};

/// The most that the functions and imports of one module may take: those of the largest modules in
/// use take a hundredth of it.
const MOST: ByteSize = ByteSize::mib(64);

/// What a name, a parameter, or part of a type takes beside the text of its name.
const EACH: u64 = 64;

/// What is left for one module.
pub(super) struct Room(u64);

impl Room {
    pub(super) fn new() -> Self {
        Self(MOST.bytes())
    }

    /// What was taken, in bytes.
    pub(super) fn taken(&self) -> u64 {
        MOST.bytes() - self.0
    }

    /// Reserves room for an item with a name of this many bytes.
    ///
    /// # Errors
    ///
    /// Returns an error, with a message, if not enough is left.
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

/// What types take when written out, each part as often as it is used.
#[derive(Default)]
pub(super) struct Weights(HashMap<TypeId, u64>);

impl Weights {
    /// Returns the weight of a type. Each definition is visited once, and validation of the binary
    /// bounds nesting.
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
