//! Maps, which stand for both WIT's `map<K, V>` and lists of pairs.

use super::super::codec::Malformed;
use super::super::mismatch::Step;
use super::super::pack::{Packer, inside};
use super::super::unpack::{Decoder, least_size};
use super::super::{PackedError, Type};
use super::compound::{UNFIT, unfit};
use super::sealed::{Read, Stands, Write};
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hash};

/// The types of a map's entries, and their depth.
fn entry(ty: &Type) -> Option<(&Type, &Type, usize)> {
    match ty {
        Type::Map(types) => Some((&types.0, &types.1, 1)),
        Type::List(element) => match &**element {
            Type::Tuple(fields) => match &**fields {
                [key, value] => Some((key, value, 2)),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

fn write_entries<'m, M: Stands, K: Write + 'm, V: Write + 'm>(
    entries: impl ExactSizeIterator<Item = (&'m K, &'m V)>,
    ty: &Type,
    depth: usize,
    out: &mut Packer,
) -> Result<(), PackedError> {
    let (key_ty, value_ty, deeper) = entry(ty).ok_or_else(|| unfit::<M>(ty))?;
    let depth = depth + deeper;
    let least = least_size(key_ty, depth) + least_size(value_ty, depth);
    out.count(entries.len(), least)?;
    for (index, (key, value)) in entries.enumerate() {
        let written = inside(key.write(key_ty, depth, out), || Step::Part("key"));
        inside(written, || Step::Index(index))?;
        let written = inside(value.write(value_ty, depth, out), || Step::Part("value"));
        inside(written, || Step::Index(index))?;
    }
    Ok(())
}

fn read_entries<M: Extend<(K, V)>, K: Read, V: Read>(
    make: impl FnOnce(usize) -> M,
    ty: &Type,
    depth: usize,
    from: &mut Decoder<'_>,
) -> Result<M, Malformed> {
    let (key_ty, value_ty, deeper) = entry(ty).ok_or(UNFIT)?;
    let depth = depth + deeper;
    let count = from.count(|| least_size(key_ty, depth) + least_size(value_ty, depth))?;
    let mut entries = make(count);
    for _ in 0..count {
        let key = K::read(key_ty, depth, from)?;
        let value = V::read(value_ty, depth, from)?;
        entries.extend([(key, value)]);
    }
    Ok(entries)
}

macro_rules! map {
    ($rust:ty, $at:ty, [$($generics:tt)*], [$($write:tt)*], [$($read:tt)*], $make:expr) => {
        impl<$($generics)*> Stands for $rust
        where
            K: Stands,
            V: Stands,
        {
            fn fits(ty: &Type) -> bool {
                entry(ty).is_some_and(|(key, value, _)| K::fits(key) && V::fits(value))
            }

            fn wit() -> String {
                format!("list<tuple<{}, {}>>", K::wit(), V::wit())
            }
        }

        impl<$($generics)*> Write for $rust
        where
            K: Write,
            V: Write,
            $($write)*
        {
            type At<'a> = $at;

            fn write(&self, ty: &Type, depth: usize, out: &mut Packer) -> Result<(), PackedError> {
                write_entries::<Self, K, V>(self.iter(), ty, depth, out)
            }
        }

        impl<$($generics)*> Read for $rust
        where
            K: Read + $($read)*
        {
            fn read(
                ty: &Type,
                depth: usize,
                from: &mut Decoder<'_>,
            ) -> Result<Self, Malformed> {
                read_entries($make, ty, depth, from)
            }
        }
    };
}

map!(
    HashMap<K, V, S>, HashMap<K::At<'a>, V::At<'a>, S>,
    [K, V, S], [S: 'static],
    [Eq + Hash, V: Read, S: BuildHasher + Default],
    |count| Self::with_capacity_and_hasher(count, S::default())
);
map!(
    BTreeMap<K, V>, BTreeMap<K::At<'a>, V::At<'a>>,
    [K, V], [], [Ord, V: Read],
    |_| Self::new()
);
