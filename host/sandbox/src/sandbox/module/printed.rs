//! The WIT of a module as text, ready for a file in another project.
//!
//! WIT that a module contains is printed as it is, with the names of its types. A module without
//! WIT is described in WIT as far as possible. Nothing is run, and the output is bounded like the
//! analysis.

use super::bare_exports;
use super::foreign::Refused;
use super::foreign::contained;
use super::load::LoadError;
use super::merged;
use super::room::{Room, Weights};
use super::wit::is_of_a_tool;
use super::{Form, Function, Module};
use rwasm_value::plain::shortened;
use std::collections::HashSet;
use std::fmt::Write as _;
use wit_component::WitPrinter;
use wit_parser::{PackageId, Resolve, UnresolvedPackageGroup, WorldId, WorldItem};

/// The package and world of a module without such names, as other tools call them.
const NAMELESS: &str = "package root:component;";

/// What a command exports as a component.
const COMMAND: &str = "package root:component;

world root {
  export wasi:cli/run@0.2.0;
}

package wasi:cli@0.2.0 {
  interface run {
    run: func() -> result;
  }
}
";

impl Module {
    /// Returns what the module exports and imports as WIT: a package with a world, and the packages
    /// that it refers to.
    ///
    /// Components and typed core modules contain it. For a plain module it lists the functions of
    /// numbers with the types that they are called with; for a command without WIT, what commands
    /// export as components. Everything else is in comments.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be printed, or is larger than a module may be.
    pub fn wit(&self) -> Result<String, LoadError> {
        let printed = contained(|| match self.carried()? {
            Some((resolve, world)) => print(&resolve, world),
            None => Ok(described(self)),
        });
        let text = printed.map_err(|message| LoadError::invalid(self, message))?;
        // Documentation comes from the guest and may contain terminal escape sequences.
        Ok(shortened(text, usize::MAX))
    }

    /// The WIT in the module, and the world that describes it.
    fn carried(&self) -> Result<Option<(Resolve, WorldId)>, String> {
        if self.is_component() {
            let (mut resolve, world) = match bare_exports::decode(&self.bytes) {
                Ok(decoded) => decoded,
                Err(Refused::Invalid(message) | Refused::Unsupported(message)) => {
                    return Err(message);
                }
            };
            let mut exports = std::mem::take(&mut resolve.worlds[world].exports);
            exports.retain(|key, item| !is_of_a_tool(&resolve, key, item));
            resolve.worlds[world].exports = exports;
            return Ok(Some((resolve, world)));
        }
        let Some((mut resolve, merged)) = merged::decode(&self.bytes)? else {
            return Ok(None);
        };
        let mut own = resolve.worlds.iter().map(|(id, _)| id);
        // One section has one world, with the names that its author chose. Several make one without
        // names.
        if let (Some(world), None) = (
            own.by_ref().find(|id| *id != merged),
            own.find(|id| *id != merged),
        ) {
            return Ok(Some((resolve, world)));
        }
        if let Some(package) = resolve.worlds[merged].package {
            "component".clone_into(&mut resolve.packages[package].name.name);
        }
        Ok(Some((resolve, merged)))
    }
}

/// Returns the world's package, and those it refers to.
fn print(resolve: &Resolve, world: WorldId) -> Result<String, String> {
    weigh(resolve)?;
    let package = resolve.worlds[world].package;
    let package = package.ok_or("its world belongs to no package")?;
    let referred = referred(resolve, package);
    let mut printer = WitPrinter::default();
    let printed = printer.print(resolve, package, &referred);
    printed.map_err(|error| format!("{error:#}"))?;
    let mut text = printer.output.to_string();
    // The printer omits the last line end.
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// Collects the packages that one refers to, directly or indirectly.
fn referred(resolve: &Resolve, package: PackageId) -> Vec<PackageId> {
    let mut known = HashSet::from([package]);
    let mut open = vec![package];
    while let Some(next) = open.pop() {
        let dependencies = resolve.package_direct_deps(next);
        open.extend(dependencies.filter(|dependency| known.insert(*dependency)));
    }
    // In the same order each time.
    let all = resolve.topological_packages().into_iter();
    all.filter(|other| *other != package && known.contains(other))
        .collect()
}

/// A few bytes can describe much, so the output is measured first.
fn weigh(resolve: &Resolve) -> Result<(), String> {
    let mut room = Room::new();
    let mut weights = Weights::default();
    let mut function = |function: &wit_parser::Function| {
        room.take(function.name.len())?;
        for param in &function.params {
            room.take_all(weights.of(resolve, &param.ty))?;
        }
        let result = function.result.as_ref();
        result.map_or(Ok(()), |ty| room.take_all(weights.of(resolve, ty)))
    };
    for (_, interface) in &resolve.interfaces {
        interface.functions.values().try_for_each(&mut function)?;
    }
    for (_, world) in &resolve.worlds {
        for item in world.imports.values().chain(world.exports.values()) {
            if let WorldItem::Function(item) = item {
                function(item)?;
            }
        }
    }
    for (id, _) in &resolve.types {
        room.take_all(weights.of(resolve, &wit_parser::Type::Id(id)))?;
    }
    Ok(())
}

/// Describes a module without WIT in WIT.
fn described(module: &Module) -> String {
    if module.form() == Form::Command {
        return format!(
            "// A WASI command, which contains no WIT. As a component, it exports this.\n{COMMAND}"
        );
    }
    let mut text = format!(
        "// Plain functions of numbers, which contain no WIT. These are the types to call them with.\n{NAMELESS}\n\nworld root {{\n"
    );
    for function in module.functions() {
        let line = if let Some(name) = written(function) {
            format!("  export {name}: {};\n", signature(function))
        } else {
            format!("  // not a name in WIT: {function}\n")
        };
        text.push_str(&line);
    }
    text.push_str("}\n");
    text
}

/// The function without its name.
fn signature(function: &Function) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(text, "{function}");
    text.split_off(function.name.len() + ": ".len())
}

/// Returns the function's name as WIT writes it, if WIT can.
fn written(function: &Function) -> Option<String> {
    // The parser knows whether a name needs its mark.
    [function.name.clone(), format!("%{}", function.name)]
        .into_iter()
        .find(|name| {
            let is_word = name
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || "%-".contains(letter));
            let text = format!("package root:component; world root {{ export {name}: func(); }}");
            is_word && UnresolvedPackageGroup::parse("name.wit", &text).is_ok()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str) -> String {
        Module::from_bytes("m.wat", text.to_owned())
            .unwrap()
            .wit()
            .unwrap()
    }

    #[test]
    fn plain_functions_are_described_as_they_are_called() {
        let text = printed(
            r#"(module
                (func (export "fib") (param i32) (result i64) (i64.const 1))
                (func (export "func"))
                (func (export "two") (result i32 f64) (i32.const 1) (f64.const 1))
                (func (export "add_one\n}") (param f32))
                (func (export "a; b")))"#,
        );
        expect_test::expect![[r"
            // Plain functions of numbers, which contain no WIT. These are the types to call them with.
            package root:component;

            world root {
              export fib: func(p0: s32) -> s64;
              export %func: func();
              export two: func() -> tuple<s32, f64>;
              // not a name in WIT: add_one\n}: func(p0: f32)
              // not a name in WIT: a; b: func()
            }
        "]]
        .assert_eq(&text);
        assert!(UnresolvedPackageGroup::parse("m.wit", &text).is_ok());
    }

    #[test]
    fn a_command_is_described_as_the_component_it_could_be() {
        let text = printed(r#"(module (memory (export "memory") 1) (func (export "_start")))"#);
        assert!(text.contains("export wasi:cli/run@0.2.0;"), "{text}");
        assert!(UnresolvedPackageGroup::parse("m.wit", &text).is_ok());
    }

    #[test]
    fn types_that_come_to_too_much_when_written_out_are_refused() {
        // Each type holds the one before twice.
        let mut types = String::from("(type $t0 (tuple u8 u8))");
        for level in 1..17 {
            let below = level - 1;
            types += &format!("(type $t{level} (tuple $t{below} $t{below}))");
        }
        let functions: String = ["f", "g", "h"]
            .map(|name| format!(r#"(export "{name}" (func (param "x" $t16)))"#))
            .concat();
        let text = format!(r#"(component {types} (import "a:b/c" (instance {functions})))"#);
        // What is imported is not looked at where a module is analyzed.
        let module = Module::from_bytes("m.wat", text).unwrap();
        let error = module.wit().unwrap_err().to_string();
        assert!(error.contains("the most a module may have"), "{error}");
    }
}
