//! Random modules and components, made by `wasm-smith` of whatever bytes it is given.
//!
//! A task of its own rather than part of the tests: with `wasm-smith` beside it the host's own dependencies would have
//! to be built with other features, and what makes hostile modules is best kept in the sandbox itself.

use arbitrary::Unstructured;
use contract::Guest;
use wasm_smith::{Component, Config, Module};

mod contract {
    #![expect(
        unsafe_code,
        clippy::pedantic,
        reason = "the generated exports speak the canonical ABI, with pointers"
    )]

    wit_bindgen::generate!({ path: "wit", world: "smith" });
    use super::Smith;
    export!(Smith);
}

struct Smith;

impl Guest for Smith {
    fn core_module(seed: Vec<u8>) -> Result<Vec<u8>, String> {
        let mut bytes = Unstructured::new(&seed);
        let module = Module::new(config(&seed), &mut bytes).map_err(|error| error.to_string())?;
        Ok(module.to_bytes())
    }

    fn component(seed: Vec<u8>) -> Result<Vec<u8>, String> {
        let mut bytes = Unstructured::new(&seed);
        let component =
            Component::new(config(&seed), &mut bytes).map_err(|error| error.to_string())?;
        Ok(component.to_bytes())
    }
}

/// Small modules, of what the host lets run: modules of anything else are refused as a whole, and that is soon tested.
/// What the host does not offer to import, and what cannot be called by name, is rare: else hardly any would run.
fn config(seed: &[u8]) -> Config {
    let rare = |bits: u8| seed.first().is_some_and(|first| first & bits == bits);
    Config {
        export_everything: true,
        generate_custom_sections: true,
        gc_enabled: false,
        max_funcs: 12,
        max_imports: if rare(0b11) { 6 } else { 0 },
        max_instructions: 200,
        max_memories: if rare(0b100) { 3 } else { 1 },
        max_memory32_bytes: 1 << 26,
        max_nesting_depth: 4,
        max_table_elements: 20_000,
        max_tables: if rare(0b100) { 3 } else { 1 },
        max_type_size: 60,
        max_types: 20,
        memory64_enabled: false,
        min_exports: 2,
        min_funcs: 2,
        reference_types_enabled: rare(0b100),
        simd_enabled: rare(0b1000),
        threads_enabled: false,
        ..Config::default()
    }
}
