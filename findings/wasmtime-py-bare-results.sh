#!/usr/bin/env bash
# wasmtime 48.0.0 (its Python package)
#
# Guess: a component's function that returns `result<T, E>` gives its caller one shape whatever T and E are: an object that
# says which side it is, or the value with the error raised as an exception.
# Seen: the shape follows from the types. Where both sides are of the same Python type (`result<u32, u32>`), a call gives a
# `Variant` with a tag and a payload. Where they are not (`result<u32, string>`), it gives the bare payload of
# whichever side it is: an error is returned like a value, as a `str` where an `int` was expected, and nothing is raised.
#
# What follows: whoever compares results with this package unwraps by the types of the function and not by what a call gave
# before, and a change of E from `string` to a number or a record changes what every caller sees of T.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv environment
environment/bin/pip install --quiet --disable-pip-version-check wasmtime==48.0.0
cat >probe.py <<'PYTHON'
from wasmtime import Engine, Store
from wasmtime.component import Component, Linker

# Each function returns what is in memory: a tag and a number, or a tag, an address and a length.
COMPONENT = r"""(component
    (core module $m
        (memory (export "memory") 1)
        (data (i32.const 4) "\07")
        (data (i32.const 16) "\01")
        (data (i32.const 20) "\28\00\00\00\02\00\00\00")
        (data (i32.const 32) "\01\00\00\00\07")
        (data (i32.const 40) "no")
        (func (export "seven") (result i32) i32.const 0)
        (func (export "no") (result i32) i32.const 16)
        (func (export "seven-wrong") (result i32) i32.const 32))
    (core instance $i (instantiate $m))
    (func (export "number-or-text-ok") (result (result u32 (error string)))
        (canon lift (core func $i "seven") (memory $i "memory")))
    (func (export "number-or-text-error") (result (result u32 (error string)))
        (canon lift (core func $i "no") (memory $i "memory")))
    (func (export "number-or-number-ok") (result (result u32 (error u32)))
        (canon lift (core func $i "seven") (memory $i "memory")))
    (func (export "number-or-number-error") (result (result u32 (error u32)))
        (canon lift (core func $i "seven-wrong") (memory $i "memory"))))"""

engine = Engine()
store = Store(engine)
instance = Linker(engine).instantiate(store, Component(engine, COMPONENT))
for name in ["number-or-text-ok", "number-or-text-error", "number-or-number-ok", "number-or-number-error"]:
    function = instance.get_func(store, name)
    given = function(store)
    function.post_return(store)
    shown = f"{given.tag} {given.payload}" if hasattr(given, "tag") else given
    print(f"{name}: {type(given).__name__} {shown}")
PYTHON
seen=$(environment/bin/python probe.py)
echo "$seen"
[ "$seen" = "number-or-text-ok: int 7
number-or-text-error: str no
number-or-number-ok: Variant ok 7
number-or-number-error: Variant err 7" ]
