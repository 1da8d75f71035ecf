#!/usr/bin/env bash
# componentize-py 0.25.0, run by wasmtime 48.0.0 (its Python package)
#
# Guess: what Python draws at random is drawn anew in each instance of a component, or never; and the same source gives the
# same component, at least if `PYTHONHASHSEED` is set for the build.
# Seen: both at once. `random.random()` differs in each instance, but the seed of string hashes is drawn while the component
# is built and stays in its memory: `hash("text")`, and with it the order of a set of strings, is the same in every instance
# of one build and another in the next build of the same source. Two builds differ in most of their bytes, of which there are
# not even as many, and `PYTHONHASHSEED` changes nothing.
#
# What follows: results that depend on the order of a set agree between tasks, engines and runs until the component is built
# again; and a cache by the hash of a component misses after each build, so builds are kept by the hash of their source.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv environment
environment/bin/pip install --quiet --disable-pip-version-check componentize-py==0.25.0 wasmtime==48.0.0
mkdir wit
cat >wit/dice.wit <<'WIT'
package example:dice;
world dice {
  export roll: func() -> f64;
  export number: func() -> s64;
}
WIT
cat >app.py <<'PYTHON'
import random
import wit_world


class WitWorld(wit_world.WitWorld):
    def roll(self):
        return random.random()

    def number(self):
        return hash("text")
PYTHON
for name in first second; do
    PYTHONHASHSEED=0 environment/bin/componentize-py -d wit -w dice componentize app -o "$name.wasm" >/dev/null
done
cat >probe.py <<'PYTHON'
from wasmtime import Engine, Store, WasiConfig
from wasmtime.component import Component, Linker

engine = Engine()
linker = Linker(engine)
linker.add_wasip2()
rolls, numbers = set(), []
for name in ["first", "second"]:
    component = Component.from_file(engine, f"{name}.wasm")
    of_build = set()
    for _ in range(3):
        store = Store(engine)
        store.set_wasi(WasiConfig())
        instance = linker.instantiate(store, component)
        for function, seen in [("roll", rolls), ("number", of_build)]:
            called = instance.get_func(store, function)
            seen.add(called(store))
            called.post_return(store)
    numbers.append(of_build)
print("rolls in six instances:", len(rolls))
print("hashes in three instances of a build:", [len(seen) for seen in numbers])
print("hashes of both builds:", len(numbers[0] | numbers[1]))
PYTHON
seen=$(environment/bin/python probe.py)
echo "$seen"
if cmp --silent first.wasm second.wasm; then
    echo "the builds are the same"
    exit 1
fi
[ "$seen" = "rolls in six instances: 6
hashes in three instances of a build: [1, 1]
hashes of both builds: 2" ]
