"""A function of a component in wasmtime's Python package: MODULE INTERFACE FUNCTION INPUT

Each line of the input is the function's only argument, a string; each result is a line of JSON.
"""

import json
import sys

from kept import compiled
from wasmtime import Engine, Store, WasiConfig
from wasmtime.component import Component, Linker

module, interface, function, lines = sys.argv[1:]
# What the components import beside WASI. The scripts that they run here have no use for it.
OTHERS = {"hyperlight:sandbox/tools": ["dispatch"]}

engine = Engine()
component = compiled(Component, engine, module)


def plain(value):
    """The fields of a record, or the value itself."""
    return vars(value) if hasattr(value, "__dict__") else value


def unwanted(*arguments):
    raise RuntimeError("nobody offers this")


with open(lines) as file:
    for line in file:
        linker = Linker(engine)
        linker.add_wasip2()
        linker.add_wasi_http()
        for name, functions in OTHERS.items():
            with linker.root() as root, root.add_instance(name) as offered:
                for other in functions:
                    offered.add_func(other, unwanted)
        store = Store(engine)
        store.set_wasi(WasiConfig())
        store.set_wasi_http()
        instance = linker.instantiate(store, component)
        exported = instance.get_export_index(store, interface)
        call = instance.get_func(store, instance.get_export_index(store, function, exported))
        result = call(store, line.rstrip("\n"))
        call.post_return(store)
        print(json.dumps(plain(result), separators=(",", ":"), ensure_ascii=False, default=plain))
