//! Exports of a component that are neither functions nor instances: types, core modules and components by themselves.
//! WIT has no words for them, so that its decoder refuses the whole component. For decoding, each gives way to what takes
//! the same place in its index space and can be said in WIT; what runs is the component as it is.

use super::foreign::Refused;
use wasm_encoder::{
    Alias, ComponentAliasSection, ComponentImportSection, ComponentOuterAliasKind,
    ComponentSection, ComponentTypeRef, Encode, TypeBounds,
};
use wasmparser::{
    BinaryReader, ComponentExport, ComponentExportSectionReader, ComponentExternalKind as Kind,
    Validator, WasmFeatures,
};
use wit_parser::decoding::DecodedWasm;
use wit_parser::{Resolve, WorldId};

/// The number of a component's export section.
const EXPORTS: u8 = 11;

/// What takes the place of an exported type.
#[derive(Clone, Copy)]
enum Types {
    /// An import of the same type, which gives it the name that functions need for it.
    Imported,
    /// Another name of it, for those that cannot be imported, such as resources.
    Aliased,
}

/// Decodes the types of a component.
pub(super) fn decode(bytes: &[u8]) -> Result<(Resolve, WorldId), Refused> {
    let invalid = |error: anyhow::Error| Refused::Invalid(format!("{error:#}"));
    let refusal = match wit_parser::decoding::decode(bytes) {
        Ok(DecodedWasm::Component(resolve, world)) => return Ok((resolve, world)),
        Ok(DecodedWasm::WitPackage(..)) => {
            return Err(Refused::Invalid(
                "it contains only WIT and no code".to_owned(),
            ));
        }
        Err(error) => error,
    };
    // An import keeps functions that use the type; those that cannot be imported need not keep the others away.
    for types in [Types::Imported, Types::Aliased] {
        let Some(bytes) = without(bytes, types).map_err(Refused::Invalid)? else {
            return Err(invalid(refusal));
        };
        if let Ok(DecodedWasm::Component(resolve, world)) = wit_parser::decoding::decode(&bytes) {
            return Ok((resolve, world));
        }
    }
    let valid = Validator::new_with_features(WasmFeatures::all()).validate_all(bytes);
    match valid {
        Ok(_) => Err(Refused::Unsupported(format!(
            "{refusal:#}: its functions use a type that is exported by itself, which this program cannot read; export them \
             in an interface"
        ))),
        Err(error) => Err(Refused::Invalid(error.to_string())),
    }
}

/// Returns the component without such exports, or nothing if it has none.
fn without(bytes: &[u8], types: Types) -> Result<Option<Vec<u8>>, String> {
    let truncated = || "it is truncated".to_owned();
    let (header, mut rest) = bytes.split_at_checked(8).ok_or_else(truncated)?;
    let mut kept = header.to_vec();
    let mut has_some = false;
    while let Some((&id, after)) = rest.split_first() {
        let mut reader = BinaryReader::new(after, 0);
        let size = reader.read_var_u32().map_err(|_| truncated())?;
        let begin = 1 + reader.original_position();
        let content = rest
            .get(begin..begin + size as usize)
            .ok_or_else(truncated)?;
        if id == EXPORTS {
            has_some |= rewrite(content, types, &mut kept).map_err(|error| error.to_string())?;
        } else {
            kept.extend_from_slice(&rest[..begin + content.len()]);
        }
        rest = &rest[begin + content.len()..];
    }
    Ok(has_some.then_some(kept))
}

/// Writes the exports of one section, each in a section of its own: what comes between them keeps its place.
fn rewrite(content: &[u8], types: Types, kept: &mut Vec<u8>) -> wasmparser::Result<bool> {
    let section = ComponentExportSectionReader::new(BinaryReader::new(content, 0))?;
    let mut begins = Vec::new();
    for export in section.into_iter_with_offsets() {
        begins.push(export?);
    }
    let ends = begins
        .iter()
        .skip(1)
        .map(|(begin, _)| *begin)
        .chain([content.len()]);
    let ends: Vec<usize> = ends.collect();
    let mut has_some = false;
    for ((begin, export), end) in begins.iter().zip(ends) {
        if let Some(section) = instead(export, types) {
            has_some = true;
            kept.extend(section);
        } else {
            kept.push(EXPORTS);
            let mut one = vec![1];
            one.extend_from_slice(&content[*begin..end]);
            one.encode(kept);
        }
    }
    Ok(has_some)
}

/// The section that takes the place of an export.
fn instead(export: &ComponentExport<'_>, types: Types) -> Option<Vec<u8>> {
    let index = export.index;
    let kind = match (export.kind, types) {
        (Kind::Type, Types::Imported) => {
            let mut imports = ComponentImportSection::new();
            let bounds = ComponentTypeRef::Type(TypeBounds::Eq(index));
            imports.import(export.name.name, bounds);
            return Some(encoded(&imports));
        }
        (Kind::Type, Types::Aliased) => ComponentOuterAliasKind::Type,
        (Kind::Module, _) => ComponentOuterAliasKind::CoreModule,
        (Kind::Component, _) => ComponentOuterAliasKind::Component,
        _ => return None,
    };
    let mut aliases = ComponentAliasSection::new();
    aliases.alias(Alias::Outer {
        kind,
        count: 0,
        index,
    });
    Some(encoded(&aliases))
}

fn encoded(section: &impl ComponentSection) -> Vec<u8> {
    let mut bytes = Vec::new();
    section.append_to_component(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::Module;

    fn functions(text: &str) -> Vec<String> {
        let module = Module::from_bytes("mixed", text.as_bytes().to_vec()).unwrap();
        let functions = module.functions().iter();
        functions.map(|function| function.name.clone()).collect()
    }

    #[test]
    fn functions_beside_types_modules_and_components_are_read() {
        let text = r#"(component
            (core module $m (func (export "one") (result i32) i32.const 1))
            (type $point (record (field "x" u32)))
            (export $named "point" (type $point))
            (export "code" (core module $m))
            (component $empty)
            (export "empty" (component $empty))
            (core instance $i (instantiate $m))
            (func $one (result u32) (canon lift (core func $i "one")))
            (func $x (result $named) (canon lift (core func $i "one")))
            (export "one" (func $one))
            (export "x" (func $x)))"#;
        assert_eq!(functions(text), ["one", "x"]);
    }

    #[test]
    fn functions_beside_an_unused_resource_are_read() {
        let text = r#"(component
            (core module $m (func (export "one") (result i32) i32.const 1))
            (type $held (resource (rep i32)))
            (export "held" (type $held))
            (core instance $i (instantiate $m))
            (func $one (result u32) (canon lift (core func $i "one")))
            (export "one" (func $one)))"#;
        assert_eq!(functions(text), ["one"]);
    }
}
