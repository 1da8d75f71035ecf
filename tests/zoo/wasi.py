"""A WASI command in wasmtime's Python package:

MODULE [INPUT...] [--dir HOST::GUEST]... [--ok-exit CODES] [-- ARGUMENT...]

Each input is the stdin of a run of its own, as it is for `rwasm-cluster run`; what they print follows in their order.
"""

import os
import sys
import tempfile

from kept import compiled
from wasmtime import Engine, ExitTrap, Linker, Module, Store, WasiConfig

module, *words = sys.argv[1:]
arguments = []
if "--" in words:
    end = words.index("--")
    words, arguments = words[:end], words[end + 1 :]
inputs, directories, codes = [], [], ["0"]
while words:
    word = words.pop(0)
    if word == "--dir":
        host, guest = words.pop(0).removesuffix(":ro").split("::")
        directories.append((host, guest))
    elif word == "--ok-exit":
        codes += words.pop(0).split(",")
    else:
        inputs.append(word)

engine = Engine()
command = compiled(Module, engine, module)
linker = Linker(engine)
linker.define_wasi()
with tempfile.TemporaryDirectory() as folder:
    printed = os.path.join(folder, "stdout")
    for stdin in inputs or [os.devnull]:
        wasi = WasiConfig()
        wasi.argv = [os.path.basename(module), *arguments]
        wasi.stdin_file = stdin
        wasi.stdout_file = printed
        wasi.inherit_stderr()
        for host, guest in directories:
            wasi.preopen_dir(host, guest)
        store = Store(engine)
        store.set_wasi(wasi)
        linker.define_unknown_imports_as_traps(command)
        try:
            linker.instantiate(store, command).exports(store)["_start"](store)
        except ExitTrap as exit:
            if str(exit.code) not in codes:
                raise
        store.close()
        with open(printed, "rb") as file:
            sys.stdout.buffer.write(file.read())
