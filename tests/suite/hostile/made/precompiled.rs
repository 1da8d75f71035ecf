//! Code that is compiled already, and would be run as native code if it were loaded. It is refused, whoever compiled it.

pub(crate) fn module() -> Vec<u8> {
    let engine = wasmtime::Engine::default();
    let module = wat::parse_str("(module (func (export \"_start\")))").expect("it is valid text");
    let code = engine.precompile_module(&module);
    code.expect("it can be compiled")
}
