//! A module prepared for one variant: compiled, its imports bound, its exports found.

use super::bulk::{self, Bulk};
use super::portable::Portable;
use crate::sandbox::abi::{Layout, Signature, Waits};
use crate::sandbox::compile::sealed::sealed;
use crate::sandbox::compile::variant::Variant;
use crate::sandbox::compile::{CodeSource, Supply};
use crate::sandbox::module::imports;
use crate::sandbox::module::load::LoadError;
use crate::sandbox::module::strip::componentize;
use crate::sandbox::module::valid;
use crate::sandbox::module::{Binding, Form, Function, Import, Module, ModuleInfo};
use crate::sandbox::world::files;
use crate::sandbox::world::host::{self, HostFunctions};
use crate::sandbox::world::http;
use crate::sandbox::world::javascript;
use crate::sandbox::world::net;
use crate::sandbox::world::pending;
use crate::sandbox::world::state::GuestState;
use crate::sandbox::world::stubs;
use rwasm_value::plain::in_line;
use std::sync::Arc;
use wasmtime::component::{Component, ComponentExportIndex};
use wasmtime::{InstancePre, Linker, ModuleExport};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi::p3::bindings as p3;

/// How typed functions of core modules are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lowering {
    /// Directly on the core module if its imports allow it, which is faster.
    #[default]
    Core,
    /// Always as a component made from it, as the component model prescribes.
    Component,
}

/// A module that is ready to run. Shared by all engines.
#[doc(hidden)]
pub struct Program {
    /// Its bytes are not kept once they are compiled: many programs are kept that nobody uses.
    #[doc(hidden)]
    pub module: ModuleInfo,
    made: Made,
    /// Whether its code was compiled for it, and not in the cache.
    #[doc(hidden)]
    pub was_compiled: bool,
}

/// What there is to run.
enum Made {
    Here(Compiled),
    /// For workers of this process.
    Portable(Portable),
    /// For engines elsewhere, which compile it there.
    Elsewhere(Module),
}

/// What a module was compiled to.
pub(in crate::sandbox) struct Compiled {
    pub(super) variant: Arc<Variant>,
    pub(in crate::sandbox) code: Code,
}

pub(in crate::sandbox) enum Code {
    Core(CoreCode),
    Component(ComponentCode),
}

/// A core module with its imports bound.
pub(in crate::sandbox) struct CoreCode {
    pub(super) instance: InstancePre<GuestState>,
    /// Whether a call may wait, so that it must be a future that can be dropped.
    pub(super) waits: Waits,
    pub(super) memory: Option<ModuleExport>,
    pub(super) realloc: Option<ModuleExport>,
    /// What is called before the first function.
    pub(super) initialize: Option<ModuleExport>,
    pub(super) start: Option<ModuleExport>,
    /// One for each function of the module.
    pub(super) functions: Vec<CoreFunction>,
}

pub(super) struct CoreFunction {
    pub(super) export: ModuleExport,
    /// The function that frees the result, to be called if the instance is kept.
    pub(super) post_return: Option<ModuleExport>,
}

/// A component with its imports bound.
pub(in crate::sandbox) struct ComponentCode {
    pub(super) instance: wasmtime::component::InstancePre<GuestState>,
    pub(super) command: Option<Command>,
    /// Whether it may have more than one call at a time.
    pub(super) is_concurrent: bool,
    /// One for each function of the module.
    pub(super) functions: Vec<Exports>,
    /// Likewise: how it is called if it passes bulk data.
    pub(super) bulk: Vec<Option<Bulk>>,
}

/// The exports that a function is.
pub(super) enum Exports {
    One(ComponentExportIndex),
    /// One for each step of a script.
    OfSteps(Vec<ComponentExportIndex>),
}

/// A component's program, by the version of WASI.
pub(super) enum Command {
    Preview2(CommandPre<GuestState>),
    Preview3(p3::CommandPre<GuestState>),
}

impl Program {
    pub(in crate::sandbox) fn new(
        module: &Module,
        variant: Arc<Variant>,
        supply: &Supply<'_>,
        lowering: Lowering,
        strict_imports: bool,
        host: &HostFunctions,
    ) -> Result<Self, LoadError> {
        // Importing WIT interfaces requires the component model; other imports that are not
        // provided can be stubbed either way.
        let mut imports = module.imports().iter();
        let imports_wit = imports.any(|import| imports::is_wit(&import.module));
        let wants_component =
            module.form() == Form::TypedCore && lowering == Lowering::Component || imports_wit;
        let as_component = module.is_component() || module.0.has_wit && wants_component;
        // Only components can call the embedder's functions.
        let is_offered =
            |import: &Import| import.offered || as_component && host.has_interface(&import.module);
        if strict_imports && let Some(import) = module.imports().iter().find(|i| !is_offered(i)) {
            return Err(not_offered(module, import));
        }
        let code = if as_component {
            let imports = ComponentImports {
                host,
                strict: strict_imports,
            };
            Code::Component(ComponentCode::new(module, &variant, supply, imports)?)
        } else {
            Code::Core(CoreCode::new(module, &variant, supply)?)
        };
        Ok(Self {
            module: module.info().clone(),
            made: Made::Here(Compiled { variant, code }),
            was_compiled: false,
        })
    }

    /// A module for remote engines, which compile it: here it is only checked whether they can.
    ///
    /// # Errors
    ///
    /// Returns an error if it is not valid, or if it imports something that no engine provides and
    /// is to be refused for that.
    #[doc(hidden)]
    pub fn elsewhere(module: Module, strict_imports: bool) -> Result<Self, LoadError> {
        if strict_imports && let Some(import) = module.imports().iter().find(|i| !i.offered) {
            return Err(not_offered(&module, import));
        }
        valid::check(&module)?;
        Ok(Self::of_elsewhere(module))
    }

    /// The same, for a module whose imports were checked.
    #[doc(hidden)]
    pub fn of_elsewhere(module: Module) -> Self {
        Self {
            module: module.info().clone(),
            made: Made::Elsewhere(module),
            was_compiled: false,
        }
    }

    /// What is to be sent to engines elsewhere; none if it runs here.
    #[doc(hidden)]
    pub fn to_send(&self) -> Option<&Module> {
        match &self.made {
            Made::Here(_) | Made::Portable(_) => None,
            Made::Elsewhere(module) => Some(module),
        }
    }

    /// What workers of this process make it of, if they are who runs it.
    #[doc(hidden)]
    pub fn portable(&self) -> Option<&Portable> {
        match &self.made {
            Made::Portable(portable) => Some(portable),
            Made::Here(_) | Made::Elsewhere(_) => None,
        }
    }

    /// The same program for workers; its code is then no longer mapped here.
    pub(in crate::sandbox) fn into_portable(
        self,
        module: &Module,
        source: &CodeSource,
        lowering: Lowering,
        strict_imports: bool,
        host: &HostFunctions,
    ) -> Result<Self, LoadError> {
        let Made::Here(compiled) = &self.made else {
            return Ok(self);
        };
        let variant = &compiled.variant;
        let code = match &compiled.code {
            Code::Core(core) => source.file(core.instance.module(), variant, module),
            Code::Component(code) => source.file(code.instance.component(), variant, module),
        };
        let host = match &compiled.code {
            Code::Core(_) => Vec::new(),
            Code::Component(code) => host.imported_by(code.instance.component()),
        };
        let portable = code.and_then(|code| {
            Ok(Portable {
                name: module.name().to_owned(),
                module: sealed(&module.shared_bytes())?,
                code,
                key: variant.key,
                as_component: lowering == Lowering::Component,
                strict_imports,
                host,
            })
        });
        let portable = portable.map_err(|error| LoadError::Unreadable {
            path: module.name().into(),
            source: std::io::Error::other(format!("{error:#}")),
        })?;
        Ok(Self {
            module: self.module,
            made: Made::Portable(portable),
            was_compiled: self.was_compiled,
        })
    }

    pub(in crate::sandbox) fn compiled(&self) -> Option<&Compiled> {
        match &self.made {
            Made::Here(compiled) => Some(compiled),
            Made::Portable(_) | Made::Elsewhere(_) => None,
        }
    }
}

fn not_offered(module: &Module, import: &Import) -> LoadError {
    LoadError::Unsupported {
        name: module.name().to_owned(),
        message: format!(
            "it imports `{}`, which this host does not provide{}",
            // The import of a whole interface has no name in it.
            in_line(format!("{} {}", import.module, import.name).trim_end()),
            imports::advice(&import.module)
        ),
    }
}

impl CoreCode {
    fn new(module: &Module, variant: &Variant, supply: &Supply<'_>) -> Result<Self, LoadError> {
        let invalid = |error: wasmtime::Error| LoadError::invalid(module, format!("{error:#}"));
        let code: wasmtime::Module = supply.code(variant, module, || Ok(module.shared_bytes()))?;
        let waits = if module
            .imports()
            .iter()
            .any(|import| imports::preview1(&import.module, &import.name) == Some(Waits::Maybe))
        {
            Waits::Maybe
        } else {
            Waits::Never
        };
        let mut linker = Linker::new(&variant.engine);
        match waits {
            Waits::Never => wasmtime_wasi::p1::add_to_linker_sync(&mut linker, GuestState::p1),
            Waits::Maybe => wasmtime_wasi::p1::add_to_linker_async(&mut linker, GuestState::p1),
        }
        .map_err(invalid)?;
        define_exit(&mut linker).map_err(invalid)?;
        if waits == Waits::Maybe {
            files::define_in_core(&mut linker).map_err(invalid)?;
        }
        javascript::define(&mut linker, &code).map_err(invalid)?;
        host::define_in_core(&mut linker, module, &code, waits)?;
        linker
            .define_unknown_imports_as_traps(&code)
            .map_err(invalid)?;
        let instance = linker.instantiate_pre(&code).map_err(invalid)?;
        let export = |name: &str| code.get_export_index(name);
        for name in ["_start", "_initialize"] {
            check_takes_and_gives_nothing(module, &code, name)?;
        }
        let functions = module
            .functions()
            .iter()
            .map(|function| {
                let missing = || {
                    LoadError::invalid(
                        module,
                        format!("its function `{}` is missing", function.name),
                    )
                };
                check_core_type(module, &code, function)?;
                Ok(CoreFunction {
                    export: export(&function.name).ok_or_else(missing)?,
                    post_return: export(&format!("cabi_post_{}", function.name)),
                })
            })
            .collect::<Result<_, LoadError>>()?;
        Ok(Self {
            waits,
            memory: export("memory"),
            realloc: export("cabi_realloc"),
            initialize: if module.begins_with_start() {
                export("_start")
            } else {
                export("_initialize")
            },
            start: export("_start"),
            functions,
            instance,
        })
    }
}

/// WASI's own `proc_exit` uses codes from 126 on for traps, and does not report the original.
fn define_exit(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    linker.func_wrap(
        "wasi_snapshot_preview1",
        "proc_exit",
        |code: i32| -> wasmtime::Result<()> { Err(I32Exit(code).into()) },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

/// A module's WIT and code have different origins; if they disagree, the module is refused.
fn check_core_type(
    module: &Module,
    code: &wasmtime::Module,
    function: &Function,
) -> Result<(), LoadError> {
    let Binding::Typed(signature) = &function.binding else {
        return Ok(());
    };
    let found = code.get_export(&function.name);
    let Some(found) = found.as_ref().and_then(wasmtime::ExternType::func) else {
        return Err(LoadError::invalid(
            module,
            format!("its export `{}` is not a function", function.name),
        ));
    };
    let (params, results) = core_type(signature);
    let fits = found
        .params()
        .map(|ty| ty.to_string())
        .eq(params.iter().copied())
        && found
            .results()
            .map(|ty| ty.to_string())
            .eq(results.iter().copied());
    if !fits {
        return Err(LoadError::invalid(
            module,
            format!(
                "its function `{}` has the core type {found}, but its WIT declares {function}",
                function.name
            ),
        ));
    }
    // The function that frees the result takes exactly that.
    let name = format!("cabi_post_{}", function.name);
    let Some(post_return) = code.get_export(&name) else {
        return Ok(());
    };
    let frees = post_return.func().is_some_and(|post_return| {
        let params = post_return.params().map(|ty| ty.to_string());
        params.eq(results.iter().copied()) && post_return.results().len() == 0
    });
    if frees {
        Ok(())
    } else {
        let message = format!(
            "its `{name}` does not take the result of `{}`",
            function.name
        );
        Err(LoadError::invalid(module, message))
    }
}

/// What the host calls first neither takes nor returns values.
fn check_takes_and_gives_nothing(
    module: &Module,
    code: &wasmtime::Module,
    name: &str,
) -> Result<(), LoadError> {
    let fits = code.get_export(name).is_none_or(|export| {
        let ty = export.func();
        ty.is_some_and(|ty| ty.params().len() == 0 && ty.results().len() == 0)
    });
    if fits {
        Ok(())
    } else {
        let message = format!("its `{name}` is not a function without parameters and results");
        Err(LoadError::invalid(module, message))
    }
}

fn core_type(signature: &Signature) -> (Vec<&'static str>, Vec<&'static str>) {
    let params = if signature.indirect_params {
        vec!["i32"]
    } else {
        signature
            .params
            .iter()
            .flat_map(Layout::core_types)
            .collect()
    };
    let results = match &signature.result {
        None => Vec::new(),
        Some(_) if signature.indirect_result => vec!["i32"],
        Some(layout) => layout.core_types(),
    };
    (params, results)
}

/// What provides the imports of a component beside the host itself.
#[derive(Clone, Copy)]
struct ComponentImports<'a> {
    host: &'a HostFunctions,
    /// Whether an import that nothing provides is refused.
    strict: bool,
}

impl ComponentCode {
    fn new(
        module: &Module,
        variant: &Variant,
        supply: &Supply<'_>,
        imports: ComponentImports<'_>,
    ) -> Result<Self, LoadError> {
        let invalid = |error: wasmtime::Error| LoadError::invalid(module, format!("{error:#}"));
        let component = supply.code(variant, module, || {
            if module.is_component() {
                Ok(module.shared_bytes())
            } else {
                componentize(module)
            }
        });
        let component: Component = component?;
        let mut linker = wasmtime::component::Linker::new(&variant.engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(invalid)?;
        net::define(&mut linker).map_err(invalid)?;
        files::define_in_component(&mut linker).map_err(invalid)?;
        host::define_in_component(&mut linker).map_err(invalid)?;
        if variant.key.concurrent {
            wasmtime_wasi::p3::add_to_linker(&mut linker).map_err(invalid)?;
            net::define_in_preview3(&mut linker).map_err(invalid)?;
            files::define_in_preview3(&mut linker).map_err(invalid)?;
            pending::define(&mut linker).map_err(invalid)?;
        }
        http::define(&mut linker, &component).map_err(invalid)?;
        stubs::define(&mut linker, &component, imports.host, imports.strict).map_err(invalid)?;
        let instance = linker.instantiate_pre(&component).map_err(invalid)?;
        let command = match module.form() {
            Form::Command if module.is_preview3() => Some(Command::Preview3(
                p3::CommandPre::new(instance.clone()).map_err(invalid)?,
            )),
            Form::Command => Some(Command::Preview2(
                CommandPre::new(instance.clone()).map_err(invalid)?,
            )),
            _ => None,
        };
        let export = |instance: Option<&str>, name: &str| {
            let missing =
                || LoadError::invalid(module, format!("its function `{name}` is missing"));
            let instance = match instance {
                Some(name) => Some(component.get_export_index(None, name).ok_or_else(missing)?),
                None => None,
            };
            component
                .get_export_index(instance.as_ref(), name)
                .ok_or_else(missing)
        };
        let functions = module
            .functions()
            .iter()
            .map(|function| {
                Ok(match &function.binding {
                    Binding::Component { instance, function } => {
                        Exports::One(export(instance.as_deref(), function)?)
                    }
                    Binding::Script(steps) => {
                        let steps = steps.0.iter();
                        let exports =
                            steps.map(|step| export(step.instance.as_deref(), &step.function));
                        Exports::OfSteps(exports.collect::<Result<_, LoadError>>()?)
                    }
                    Binding::Typed(_) | Binding::Plain | Binding::Bytes(_) => {
                        Exports::One(match function.name.split_once('#') {
                            Some((instance, name)) => export(Some(instance), name)?,
                            None => export(None, &function.name)?,
                        })
                    }
                })
            })
            .collect::<Result<_, LoadError>>()?;
        Ok(Self {
            instance,
            command,
            is_concurrent: variant.key.concurrent,
            functions,
            bulk: module.functions().iter().map(bulk::choose).collect(),
        })
    }
}
