#!/usr/bin/env bash
# wasmtime for Python 48.0.0
#
# Guess: `Linker.define_unknown_imports_as_traps` defines what a component imports and the linker has not. What works
# without it goes on working.
# Seen: after `add_wasip2`, which has WASI 0.2.12, components that import WASI 0.2.0 get its functions; after
# `define_unknown_imports_as_traps` too, calling one traps with "has not been defined": only the very release counts as
# defined. A component that imports 0.2.12 keeps the functions, but if it uses a resource of one interface in another it
# no longer instantiates: "mismatched resource types".
#
# What follows: whoever wants traps for the imports that are left defines them one by one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check wasmtime==48.0.0
cat >probe.py <<'PYTHON'
from wasmtime import Engine, Store, WasiConfig, WasmtimeError
from wasmtime.component import Component, Linker

FUNCTION = """(component
  (import "wasi:random/random@VERSION" (instance $random (export "get-random-u64" (func (result u64)))))
  (core func $random (canon lower (func $random "get-random-u64")))
  (core module $m (import "" "random" (func $random (result i64))) (func (export "random") (result i64) call $random))
  (core instance $i (instantiate $m (with "" (instance (export "random" (func $random))))))
  (func (export "random") (result u64) (canon lift (core func $i "random"))))"""

RESOURCE = """(component
  (import "wasi:io/poll@VERSION" (instance $poll (export "pollable" (type (sub resource)))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@VERSION" (instance
    (alias outer 1 $pollable (type $outer))
    (export "pollable" (type $p (eq $outer)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $p)))))))"""


def outcome(guest, has_traps):
    engine = Engine()
    component = Component(engine, guest)
    linker = Linker(engine)
    linker.add_wasip2()
    if has_traps:
        linker.define_unknown_imports_as_traps(component)
    store = Store(engine)
    store.set_wasi(WasiConfig())
    try:
        instance = linker.instantiate(store, component)
        random = instance.get_func(store, "random")
        if random:
            random(store)
        return "works"
    except WasmtimeError as error:
        return str(error).splitlines()[-1].strip()


for name, guest in [("function", FUNCTION), ("resource", RESOURCE)]:
    for version in ["0.2.0", "0.2.12"]:
        for has_traps in [False, True]:
            traps = "with" if has_traps else "without"
            print(f"a {name} of WASI {version}, {traps} traps: {outcome(guest.replace('VERSION', version), has_traps)}")
PYTHON
venv/bin/python probe.py | tee seen
diff - seen <<'SEEN' || { echo "it behaves otherwise now" >&2; exit 1; }
a function of WASI 0.2.0, without traps: works
a function of WASI 0.2.0, with traps: unknown import: `wasi:random/random@0.2.0#get-random-u64` has not been defined
a function of WASI 0.2.12, without traps: works
a function of WASI 0.2.12, with traps: works
a resource of WASI 0.2.0, without traps: works
a resource of WASI 0.2.0, with traps: works
a resource of WASI 0.2.12, without traps: works
a resource of WASI 0.2.12, with traps: 1: mismatched resource types
SEEN
