//! A core module may declare its exports in several sections, each with its own world: the Rust SDK
//! writes one per function. `wit-component` merges them into one world, and takes types of the same
//! name for the same type without a check, so they are checked here. The linker puts the sections
//! in an arbitrary order, so the functions of several sections are sorted by name.

use super::room::{Room, Weights};
use super::wit::value_type;
use rwasm_value::plain::shortened;
use rwasm_value::value::Type;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use wasmparser::{Parser, Payload};
use wit_parser::decoding::decode_world;
use wit_parser::{Resolve, Type as WitType, WorldId, WorldItem};

/// The prefix of the names of sections with types.
const SECTION: &str = "component-type";

/// The most bytes of a type that are shown.
const MAX_SHOWN: usize = 300;

/// Returns the types that a core module carries, as one world; none if it carries none.
///
/// # Errors
///
/// Returns an error if a section is malformed, or if two contradict each other.
pub(super) fn decode(module: &[u8]) -> Result<Option<(Resolve, WorldId)>, String> {
    let decoded = wit_component::metadata::decode(module);
    let (stripped, bindgen) = decoded.map_err(|error| format!("{error:#}"))?;
    if stripped.is_none() {
        return Ok(None);
    }
    let (mut resolve, world) = (bindgen.resolve, bindgen.world);
    if sections(module).nth(1).is_some() {
        let mut exports = std::mem::take(&mut resolve.worlds[world].exports);
        exports.sort_by_cached_key(|key, _| resolve.name_world_key(key));
        resolve.worlds[world].exports = exports;
    }
    Ok(Some((resolve, world)))
}

/// Returns the sections of a core module that declare its exports.
fn sections(module: &[u8]) -> impl Iterator<Item = &[u8]> {
    Parser::new(0)
        .parse_all(module)
        .filter_map(|payload| match payload {
            Ok(Payload::CustomSection(section)) if section.name().starts_with(SECTION) => {
                Some(section.data())
            }
            _ => None,
        })
}

/// Checks that types of the same name are the same in all worlds of the module.
///
/// # Errors
///
/// Returns an error if they differ, or take more than the room that is left.
pub(super) fn check(module: &[u8], room: &mut Room) -> Result<(), String> {
    let sections: Vec<&[u8]> = sections(module).collect();
    if sections.len() < 2 {
        return Ok(());
    }
    let mut known = HashMap::new();
    for section in sections {
        // An older form without a world at its top has one section at most.
        if let Ok((resolve, world)) = decode_world(section) {
            add(&resolve, world, &mut known, room)?;
        }
    }
    Ok(())
}

/// Types by name, each with what first used it.
type Known = HashMap<String, (Type, String)>;

fn add(
    resolve: &Resolve,
    world: WorldId,
    known: &mut Known,
    room: &mut Room,
) -> Result<(), String> {
    let mut weights = Weights::default();
    let world = &resolve.worlds[world];
    let user = match world.exports.first() {
        Some((key, _)) => format!("`{}`", resolve.name_world_key(key)),
        None => "its imports".to_owned(),
    };
    for (key, item) in &world.imports {
        let WorldItem::Type { id, .. } = item else {
            continue;
        };
        let ty = WitType::Id(*id);
        let name = resolve.name_world_key(key);
        room.take_all(weights.of(resolve, &ty))?;
        room.take(name.len())?;
        let Ok(ty) = value_type(resolve, &ty) else {
            continue;
        };
        match known.entry(name) {
            Entry::Vacant(place) => {
                place.insert((ty, user.clone()));
            }
            Entry::Occupied(place) if place.get().0 != ty => {
                let (other, first) = place.get();
                return Err(format!(
                    "the name `{}` has two meanings: in {first} {}, in {user} {}; rename one of the types",
                    place.key(),
                    shortened(other.to_string(), MAX_SHOWN),
                    shortened(ty.to_string(), MAX_SHOWN),
                ));
            }
            Entry::Occupied(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use wit_component::{StringEncoding, metadata};

    /// A module with a section for each of these worlds.
    fn module(worlds: &[&str]) -> Vec<u8> {
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        for (number, items) in worlds.iter().enumerate() {
            let mut resolve = Resolve::default();
            let wit = format!("package a:b{number}; world w {{ {items} }}");
            let package = resolve.push_str("test.wit", &wit).unwrap();
            let world = resolve.select_world(&[package], None).unwrap();
            let data = metadata::encode(&resolve, world, StringEncoding::UTF8, None).unwrap();
            let name = format!("component-type:{number}");
            let mut section = vec![u8::try_from(name.len()).unwrap()];
            section.extend(name.bytes().chain(data));
            module.push(0);
            let mut length = section.len();
            while length > 0x7f {
                module.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
                length >>= 7;
            }
            module.push(u8::try_from(length).unwrap());
            module.extend(section);
        }
        module
    }

    #[test]
    fn types_of_one_name_are_one_type() {
        let echo = "record point { x: s32 } export echo: func(p: point) -> point;";
        let line = "record point { x: s32 } type points = list<point>; export line: func(p: points) -> u32;";
        let other = "record point { x: s64 } export other: func(p: point);";
        let check = |worlds: &[&str]| check(&module(worlds), &mut Room::new());
        assert_eq!(check(&[echo, line]), Ok(()));
        assert_eq!(check(&[other]), Ok(()));
        assert_eq!(
            check(&[echo, line, other]),
            Err(
                "the name `point` has two meanings: in `echo` record { x: s32 }, in `other` record { x: s64 }; rename one of the types"
                    .to_owned()
            )
        );
    }
}
