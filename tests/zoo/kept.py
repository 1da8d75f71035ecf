"""Compiled modules are kept beside the module: some take minutes."""

import os
from importlib.metadata import version


def compiled(kind, engine, module):
    """The module or component, compiled by this release of wasmtime now or before."""
    kept = f"{module}.wasmtime-{version('wasmtime')}"
    if os.path.exists(kept):
        return kind.deserialize_file(engine, kept)
    fresh = kind.from_file(engine, module)
    part = f"{kept}.{os.getpid()}"
    with open(part, "wb") as file:
        file.write(fresh.serialize())
    os.rename(part, kept)
    return fresh
