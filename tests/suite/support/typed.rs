//! Typed modules that are put together from WIT and text, for shapes that no guest's language makes on demand.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

/// What the text of a module begins with that takes lists or strings: a memory, and room in it without end.
pub(crate) const ROOM: &str = r#"
  (memory (export "memory") 64)
  (global $next (mut i32) (i32.const 4096))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (local $place i32)
    (local.set $place (i32.and
      (i32.add (global.get $next) (i32.sub (local.get 2) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get 2))))
    (global.set $next (i32.add (local.get $place) (local.get 3)))
    (local.get $place))"#;

/// A core module of that code which says that it exports the one world in `wit`.
pub(crate) fn typed(wit: &str, code: &str) -> Vec<u8> {
    typed_alone(wit, &format!("{ROOM} {code}"))
}

/// The same without a memory.
pub(crate) fn typed_alone(wit: &str, code: &str) -> Vec<u8> {
    let mut module = wat::parse_str(format!("(module {code})")).expect("the code is valid text");
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_str("test.wit", wit).expect("the WIT is valid");
    let world = resolve
        .select_world(&[package], None)
        .expect("there is one world");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .expect("the WIT can be embedded");
    module
}

/// The component that such a module stands for.
pub(crate) fn componentized(module: &[u8]) -> Vec<u8> {
    ComponentEncoder::default()
        .module(module)
        .and_then(|mut encoder| encoder.encode())
        .expect("the module can be made a component")
}
