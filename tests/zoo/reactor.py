"""A function of a reactor that reads arguments, in wasmtime's Python package: MODULE FUNCTION --dir HOST::GUEST -- ARGUMENT..."""

import os
import sys

from kept import compiled
from wasmtime import Engine, Linker, Module, Store, WasiConfig

module, function, _, directory, _, *arguments = sys.argv[1:]
engine = Engine()
linker = Linker(engine)
linker.define_wasi()
wasi = WasiConfig()
wasi.argv = [os.path.basename(module), *arguments]
wasi.inherit_stderr()
wasi.preopen_dir(*directory.split("::"))
store = Store(engine)
store.set_wasi(wasi)
reactor = compiled(Module, engine, module)
linker.define_unknown_imports_as_traps(reactor)
exports = linker.instantiate(store, reactor).exports(store)
if "_initialize" in exports:
    exports["_initialize"](store)
print(exports[function](store))
