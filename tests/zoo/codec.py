"""A codec of numcodecs in wasmtime's Python package: MODULE CONFIG NUMBER...

Makes a codec, and prints the array of bytes that it encodes, as JSON.
"""

import base64
import json
import sys

from kept import compiled
from wasmtime import Engine, Store, WasiConfig
from wasmtime.component import Component, Linker, Record, Variant

module, config, *numbers = sys.argv[1:]
INTERFACE = "numcodecs:abc/codec@0.1.1"

engine = Engine()
component = compiled(Component, engine, module)
linker = Linker(engine)
linker.add_wasip2()
with linker.root() as root, root.add_instance("wasi:logging/logging") as offered:
    offered.add_func("log", lambda *arguments: None)
store = Store(engine)
store.set_wasi(WasiConfig())
instance = linker.instantiate(store, component)
exported = instance.get_export_index(store, INTERFACE)


def call(name, *arguments):
    function = instance.get_func(store, instance.get_export_index(store, name, exported))
    result = function(store, *arguments)
    function.post_return(store)
    return result


array = Record()
array.data = Variant("u8", bytes(map(int, numbers)))
array.shape = [len(numbers)]
# A `result` whose sides are both records.
encoded = call("[method]codec.encode", call("[static]codec.from-config", config), array).payload
data = {encoded.data.tag: base64.b64encode(encoded.data.payload).decode()}
print(json.dumps({"data": data, "shape": encoded.shape}, separators=(",", ":")))
