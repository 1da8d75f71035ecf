"""Packs a design as icepack does, in wasmtime's Python package: MODULE INPUT OUTPUT"""

import subprocess
import sys
from pathlib import Path

module, source, packed = sys.argv[1:]
command = [sys.executable, Path(__file__).with_name("wasi.py"), module, source]
Path(packed).write_bytes(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
