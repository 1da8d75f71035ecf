//! The `component-type` section of a function, made at compile time: the type of a world that
//! exports it and nothing else, in the binary form of component types.
//!
//! Its reader, `wit-component`, merges the worlds of all such sections in a module. Lengths take
//! five bytes, as LEB128 allows, so that they can be filled in once they are known.

use crate::ty::{Ty, same, same_text};

/// The description of one function.
#[derive(Clone, Copy)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// The names of its parameters.
    pub params: &'static [&'static str],
    /// Their types.
    pub types: &'static [&'static Ty],
    /// Its result.
    pub result: &'static Ty,
}

/// The most other types that a type in a world may consist of.
const MAX_PARTS: usize = 256;

/// The most named types that a function may use.
const MAX_NAMED: usize = 128;

/// A WIT type that needs no index is one byte.
const fn primitive(ty: &Ty) -> Option<u8> {
    Some(match ty {
        Ty::Bool => 0x7f,
        Ty::S8 => 0x7e,
        Ty::U8 => 0x7d,
        Ty::S16 => 0x7c,
        Ty::U16 => 0x7b,
        Ty::S32 => 0x7a,
        Ty::U32 => 0x79,
        Ty::S64 => 0x78,
        Ty::U64 => 0x77,
        Ty::F32 => 0x76,
        Ty::F64 => 0x75,
        Ty::Char => 0x74,
        Ty::String => 0x73,
        _ => return None,
    })
}

/// How a type is referred to.
#[derive(Clone, Copy)]
enum Reference {
    Nothing,
    Primitive(u8),
    Number(u32),
}

/// Whether types are named by an import of the world or by an export of an interface.
#[derive(Clone, Copy)]
enum Naming {
    Import,
    #[cfg_attr(
        not(target_family = "wasm"),
        expect(dead_code, reason = "there is no host to import")
    )]
    Export,
}

/// Writes into `N` bytes; anything more is only counted, so that with none it returns the length
/// needed.
struct Writer<const N: usize> {
    bytes: [u8; N],
    len: usize,
    /// The number of declarations, and of types among them, in the innermost type so far.
    declarations: usize,
    types: u32,
    named: [(&'static Ty, u32); MAX_NAMED],
    named_len: usize,
}

/// The bytes of a five-byte length.
const LENGTH: usize = 5;

impl<const N: usize> Writer<N> {
    const fn new() -> Self {
        Self {
            bytes: [0; N],
            len: 0,
            declarations: 0,
            types: 0,
            named: [(&Ty::Unit, 0); MAX_NAMED],
            named_len: 0,
        }
    }

    const fn put(&mut self, byte: u8) {
        if self.len < N {
            self.bytes[self.len] = byte;
        }
        self.len += 1;
    }

    const fn put_all(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while at < bytes.len() {
            self.put(bytes[at]);
            at += 1;
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
    const fn put_number(&mut self, number: usize) {
        let mut rest = number;
        while rest > 0x7f {
            self.put((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        self.put(rest as u8);
    }

    const fn put_text(&mut self, text: &str) {
        self.put_number(text.len());
        self.put_all(text.as_bytes());
    }

    /// A name by which something is imported or exported.
    const fn put_extern_name(&mut self, name: &str) {
        self.put(0);
        self.put_text(name);
    }

    /// Leaves room for a length.
    const fn open(&mut self) -> usize {
        let place = self.len;
        self.put_all(&[0; LENGTH]);
        place
    }

    #[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
    const fn fill(&mut self, place: usize, number: usize) {
        let mut at = 0;
        while at < LENGTH {
            let bits = (number >> (7 * at)) as u8 & 0x7f;
            let more = if at + 1 < LENGTH { 0x80 } else { 0 };
            if place + at < N {
                self.bytes[place + at] = bits | more;
            }
            at += 1;
        }
    }

    /// Fills in the number of bytes written since.
    const fn close(&mut self, place: usize) {
        self.fill(place, self.len - place - LENGTH);
    }

    #[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
    const fn put_reference(&mut self, reference: Reference) {
        match reference {
            Reference::Primitive(byte) => self.put(byte),
            // A signed number; the primitive types are below zero.
            Reference::Number(number) => {
                let mut rest = number;
                while rest > 0x3f {
                    self.put((rest & 0x7f) as u8 | 0x80);
                    rest >>= 7;
                }
                self.put(rest as u8);
            }
            Reference::Nothing => {
                panic!(
                    "`()` has no WIT type: it can only be the result of a function, or a side of a `Result`"
                )
            }
        }
    }

    const fn put_optional(&mut self, reference: Reference) {
        if let Reference::Nothing = reference {
            self.put(0);
        } else {
            self.put(1);
            self.put_reference(reference);
        }
    }

    /// Begins the declaration of a type, and returns its index.
    const fn declare(&mut self, form: u8) -> u32 {
        self.declarations += 1;
        self.put(1);
        self.put(form);
        self.types += 1;
        self.types - 1
    }

    /// Declares `ty`, and before it the types that it consists of, unless declared already.
    const fn define(&mut self, ty: &'static Ty, naming: Naming) -> Reference {
        if let Some(byte) = primitive(ty) {
            return Reference::Primitive(byte);
        }
        let name = match ty {
            Ty::Unit => return Reference::Nothing,
            Ty::Record(name, _) | Ty::Variant(name, _) | Ty::Enum(name, _) | Ty::Flags(name, _) => {
                Some(*name)
            }
            _ => None,
        };
        if let Some(name) = name
            && let Some(number) = self.find(name, ty)
        {
            return Reference::Number(number);
        }
        assert!(
            ty.parts() <= MAX_PARTS,
            "a type can have at most 256 fields or cases"
        );
        let mut parts = [Reference::Nothing; MAX_PARTS];
        let mut at = 0;
        while at < ty.parts() {
            parts[at] = self.define(ty.part(at), naming);
            at += 1;
        }
        let number = self.declare_with(ty, &parts);
        let Some(name) = name else {
            return Reference::Number(number);
        };
        // The name is given by an import, or an export, of an equal type.
        self.declarations += 1;
        self.put(match naming {
            Naming::Import => 3,
            Naming::Export => 4,
        });
        self.put_extern_name(name);
        self.put_all(&[3, 0]);
        self.put_number(number as usize);
        let number = self.types;
        self.types += 1;
        assert!(
            self.named_len < MAX_NAMED,
            "a function can use at most 128 records, variants, enums and flags"
        );
        self.named[self.named_len] = (ty, number);
        self.named_len += 1;
        Reference::Number(number)
    }

    const fn find(&self, name: &str, ty: &Ty) -> Option<u32> {
        let mut at = 0;
        while at < self.named_len {
            let (known, number) = self.named[at];
            if let Ty::Record(other, _)
            | Ty::Variant(other, _)
            | Ty::Enum(other, _)
            | Ty::Flags(other, _) = known
                && same_text(name, other)
            {
                assert!(
                    same(known, ty),
                    "two different types of this function have the same WIT name: rename one with `#[wit(name = \"…\")]`"
                );
                return Some(number);
            }
            at += 1;
        }
        None
    }

    const fn declare_with(&mut self, ty: &Ty, parts: &[Reference; MAX_PARTS]) -> u32 {
        let number;
        match ty {
            Ty::List(_) => {
                number = self.declare(0x70);
                self.put_reference(parts[0]);
            }
            Ty::Option(_) => {
                number = self.declare(0x6b);
                self.put_reference(parts[1]);
            }
            Ty::Result(..) => {
                number = self.declare(0x6a);
                self.put_optional(parts[0]);
                self.put_optional(parts[1]);
            }
            Ty::Tuple(types) => {
                number = self.declare(0x6f);
                self.put_number(types.len());
                let mut at = 0;
                while at < types.len() {
                    self.put_reference(parts[at]);
                    at += 1;
                }
            }
            Ty::Record(_, fields) => {
                number = self.declare(0x72);
                self.put_number(fields.len());
                let mut at = 0;
                while at < fields.len() {
                    self.put_text(fields[at].0);
                    self.put_reference(parts[at]);
                    at += 1;
                }
            }
            Ty::Variant(_, cases) => {
                number = self.declare(0x71);
                self.put_number(cases.len());
                let mut at = 0;
                while at < cases.len() {
                    self.put_text(cases[at].0);
                    self.put_optional(parts[at]);
                    self.put(0);
                    at += 1;
                }
            }
            Ty::Enum(_, names) | Ty::Flags(_, names) => {
                let is_enum = matches!(ty, Ty::Enum(..));
                number = self.declare(if is_enum { 0x6d } else { 0x6e });
                self.put_number(names.len());
                let mut at = 0;
                while at < names.len() {
                    self.put_text(names[at]);
                    at += 1;
                }
            }
            _ => panic!("it is primitive"),
        }
        number
    }

    /// Declares the type of a function, and returns its index.
    const fn define_function(&mut self, function: &Function, naming: Naming) -> u32 {
        let mut types = [Reference::Nothing; MAX_PARTS];
        let mut at = 0;
        while at < function.types.len() {
            types[at] = self.define(function.types[at], naming);
            at += 1;
        }
        let result = self.define(function.result, naming);
        let number = self.declare(0x40);
        self.put_number(function.params.len());
        let mut at = 0;
        while at < function.params.len() {
            self.put_text(function.params[at]);
            self.put_reference(types[at]);
            at += 1;
        }
        if let Reference::Nothing = result {
            self.put_all(&[1, 0]);
        } else {
            self.put(0);
            self.put_reference(result);
        }
        number
    }

    /// The beginning of every section, up to the number of the world's declarations.
    const fn begin_world(&mut self) -> (usize, usize) {
        self.put_all(b"\0asm\x0d\0\x01\0");
        // The reader checks its format's version, 4, and the encoding of strings, UTF-8.
        self.put(0);
        let custom = self.open();
        self.put_text("wit-component-encoding");
        self.put_all(&[4, 0]);
        self.close(custom);
        // A type section of one component type, which declares the world as a component type and exports that.
        self.put(7);
        let section = self.open();
        self.put_all(&[1, 0x41, 2, 1, 0x41]);
        (section, self.open())
    }

    const fn end_world(&mut self, (section, count): (usize, usize), package: &str, world: &str) {
        self.fill(count, self.declarations);
        self.put_all(&[4, 0]);
        self.put_number(package.len() + 1 + world.len());
        self.put_all(package.as_bytes());
        self.put(b'/');
        self.put_all(world.as_bytes());
        self.put_all(&[4, 0]);
        self.close(section);
        // The type is exported under the name of the world.
        self.put(11);
        let exports = self.open();
        self.put(1);
        self.put_extern_name(world);
        self.put_all(&[3, 0, 0]);
        self.close(exports);
    }
}

/// The package of the sections' worlds: one world for each function, with its name.
const PACKAGE: &str = "rwasm-task:exports";

const fn write_export<const N: usize>(function: &Function) -> Writer<N> {
    let mut writer = Writer::new();
    let world = writer.begin_world();
    let number = writer.define_function(function, Naming::Import);
    writer.declarations += 1;
    writer.put(4);
    writer.put_extern_name(function.name);
    writer.put(1);
    writer.put_number(number as usize);
    writer.end_world(world, PACKAGE, function.name);
    writer
}

/// Returns the length of a function's section.
pub const fn export_len(function: &Function) -> usize {
    write_export::<0>(function).len
}

/// Returns the section of a function, of this length.
pub const fn export<const N: usize>(function: &Function) -> [u8; N] {
    write_export::<N>(function).bytes
}

#[cfg(target_family = "wasm")]
const fn write_import<const N: usize>(interface: &str, functions: &[Function]) -> Writer<N> {
    let mut writer = Writer::new();
    let world = writer.begin_world();
    writer.put_all(&[1, 0x42]);
    let count = writer.open();
    let mut at = 0;
    while at < functions.len() {
        let number = writer.define_function(&functions[at], Naming::Export);
        writer.declarations += 1;
        writer.put(4);
        writer.put_extern_name(functions[at].name);
        writer.put(1);
        writer.put_number(number as usize);
        at += 1;
    }
    writer.fill(count, writer.declarations);
    // The world itself has the type of the interface, and the import of it.
    writer.declarations = 2;
    writer.put(3);
    writer.put_extern_name(interface);
    writer.put_all(&[5, 0]);
    writer.end_world(world, "rwasm-task:imports", "host");
    writer
}

#[cfg(target_family = "wasm")]
/// Returns the length of the section that imports an interface of these functions.
pub(crate) const fn import_len(interface: &str, functions: &[Function]) -> usize {
    write_import::<0>(interface, functions).len
}

#[cfg(target_family = "wasm")]
/// Returns that section, of this length.
pub(crate) const fn import<const N: usize>(interface: &str, functions: &[Function]) -> [u8; N] {
    write_import::<N>(interface, functions).bytes
}
