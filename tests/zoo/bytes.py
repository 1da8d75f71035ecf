"""A function that takes the address and length of a text and returns those of another, in wasmtime's Python package:
MODULE FUNCTION ALLOCATOR TEXT NAME=VALUE..."""

import sys

from kept import compiled
from wasmtime import Engine, Linker, Module, Store, WasiConfig

module, function, allocator, text, *variables = sys.argv[1:]
engine = Engine()
linker = Linker(engine)
linker.define_wasi()
wasi = WasiConfig()
wasi.env = [variable.split("=", 1) for variable in variables]
wasi.inherit_stderr()
store = Store(engine)
store.set_wasi(wasi)
plain = compiled(Module, engine, module)
linker.define_unknown_imports_as_traps(plain)
exports = linker.instantiate(store, plain).exports(store)
if "_initialize" in exports:
    exports["_initialize"](store)
given = text.encode()
address = exports[allocator](store, len(given))
memory = exports["memory"]
memory.write(store, given, address)
packed = exports[function](store, address, len(given))
start, length = packed >> 32 & 0xFFFFFFFF, packed & 0xFFFFFFFF
sys.stdout.buffer.write(memory.read(store, start, start + length))
