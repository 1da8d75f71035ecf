//! Whether a module's imports fit what the host offers, found without compiling its code: what it imports, and the types
//! of that, are a module by themselves, which is bound as any other.

use super::Sandbox;
use super::compile::CodeSource;
use super::compile::compiler::Compiler;
use super::compile::variant::VariantKey;
use super::module::load::LoadError;
use super::module::{Module, valid};
use super::run::program::Lowering;
use super::world::host::HostFunctions;
use super::world::state::MOST_INSTANCES;
use crate::limits::{Limits, MAX_TABLE_ELEMENTS};
use rwasm_value::ids::TenantId;
use wasmparser::BinaryReader;

/// The numbers of sections: of core modules, types and imports; of components, custom ones, core types, aliases, types
/// and imports.
const OF_CORE: [u8; 2] = [1, 2];
const CUSTOM: u8 = 0;
const OF_COMPONENT: [u8; 5] = [CUSTOM, 3, 6, 7, 10];

impl Module {
    /// Checks whether it can run: whether it is valid, uses only what engines accept, and imports
    /// nothing that they cannot replace. All its code is looked at, and none is compiled.
    ///
    /// # Errors
    ///
    /// [`LoadError::Invalid`] if it is not valid WebAssembly, and [`LoadError::Unsupported`] if it is
    /// but cannot run here.
    pub fn check(&self) -> Result<(), LoadError> {
        valid::check(self)?;
        let unsupported = |message| LoadError::Unsupported {
            name: self.name().to_owned(),
            message,
        };
        if self.demands().instances as usize > MOST_INSTANCES {
            return Err(unsupported(format!(
                "it has {} core modules, more than {MOST_INSTANCES}, the most a component may have",
                self.demands().instances
            )));
        }
        if self.initial_table_elements() > MAX_TABLE_ELEMENTS as u64 {
            return Err(unsupported(format!(
                "its tables begin with {} elements, more than {MAX_TABLE_ELEMENTS}, the most that tables may have",
                self.initial_table_elements()
            )));
        }
        // What cannot be read by itself is seen when it runs.
        let Some(imports) = self.only_imports() else {
            return Ok(());
        };
        let key = VariantKey::of(&Limits::default(), false).without_pool();
        let source = CodeSource::new(None, Compiler::InProcess);
        let sandbox = Sandbox::new(
            1,
            key,
            source,
            Lowering::Core,
            false,
            HostFunctions::default(),
        );
        let sandbox = sandbox.map_err(unsupported)?;
        let bound = sandbox.program(
            &imports,
            key.with(self.demands()),
            &Limits::default(),
            TenantId::default(),
        );
        sandbox.close();
        bound.map(|_| ()).map_err(|error| match error {
            LoadError::Invalid { message, .. } | LoadError::Unsupported { message, .. } => {
                unsupported(message)
            }
            other => other,
        })
    }

    /// Its imports by themselves; of a component, those before its code, where toolchains put them.
    fn only_imports(&self) -> Option<Self> {
        let (header, mut rest) = self.bytes().split_at_checked(8)?;
        let mut kept = header.to_vec();
        while let Some((&id, after)) = rest.split_first() {
            let mut reader = BinaryReader::new(after, 0);
            let size = reader.read_var_u32().ok()? as usize;
            let end = 1 + reader.original_position() + size;
            let section = rest.get(..end)?;
            rest = &rest[end..];
            let is_kept = match self.is_component() {
                true if !OF_COMPONENT.contains(&id) => break,
                true => id != CUSTOM,
                false => OF_CORE.contains(&id),
            };
            if is_kept {
                kept.extend_from_slice(section);
            }
        }
        Self::from_bytes(self.name(), kept).ok()
    }
}
