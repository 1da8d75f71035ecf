//! The modules of the guests.

use rwasm_cluster::{LoadError, Module};
use std::path::Path;
use wit_component::{StringEncoding, embed_component_metadata};

/// A hostile guest.
#[derive(Clone, Copy)]
pub(crate) struct Guest {
    pub(crate) name: &'static str,
    source: Source,
}

#[derive(Clone, Copy)]
enum Source {
    Text,
    Program,
    Made(fn() -> Vec<u8>),
}

impl Guest {
    /// `guest-tasks/hostile/NAME.wat`.
    pub(super) fn text(name: &'static str) -> Self {
        let source = Source::Text;
        Self { name, source }
    }

    /// `guest-tasks/hostile/src/bin/NAME.rs`.
    pub(super) fn program(name: &'static str) -> Self {
        let source = Source::Program;
        Self { name, source }
    }

    /// `made/NAME.rs`.
    pub(super) fn made(name: &'static str, make: fn() -> Vec<u8>) -> Self {
        let source = Source::Made(make);
        Self { name, source }
    }

    /// Its bytes; `built` is where compiled guests are.
    pub(crate) fn bytes(&self, built: &Path) -> Vec<u8> {
        match self.source {
            Source::Text => {
                let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                    .join("../../guest-tasks/hostile")
                    .join(self.name)
                    .with_extension("wat");
                text(&std::fs::read_to_string(path).expect("the guest can be read"))
            }
            Source::Program => {
                let path = built.join(self.name).with_extension("wasm");
                std::fs::read(&path).unwrap_or_else(|error| {
                    panic!("{}: {error}: run `cargo xtask guests`", path.display())
                })
            }
            Source::Made(make) => make(),
        }
    }

    pub(crate) fn load(&self, built: &Path) -> Result<Module, LoadError> {
        Module::from_bytes(self.name, self.bytes(built))
    }
}

/// The module of a text. Lines that begin with `;; wit:` are the world of its typed functions, which the module
/// then says it has, whatever its code does.
pub(crate) fn text(text: &str) -> Vec<u8> {
    let mut module = wat::parse_str(text).expect("the guest is valid text");
    let lines = text.lines().filter_map(|line| line.strip_prefix(";; wit:"));
    let world: String = lines.collect::<Vec<_>>().join("\n");
    if !world.is_empty() {
        let mut resolve = wit_parser::Resolve::default();
        let package = format!("package hostile:guest;\nworld guest {{\n{world}\n}}\n");
        let package = resolve
            .push_str("guest.wit", &package)
            .expect("the guest's WIT is valid");
        let world = resolve
            .select_world(&[package], None)
            .expect("there is one world");
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
            .expect("the WIT can be embedded");
    }
    module
}
