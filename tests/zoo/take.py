"""Checks a module's hash and gives it the name under which it runs: FILE SHA256 NAME."""

import hashlib
import os
import sys

file, wanted, name = sys.argv[1:]
with open(file, "rb") as module:
    found = hashlib.file_digest(module, "sha256").hexdigest()
if found != wanted:
    sys.exit(f"{file} has the hash {found}, but {wanted} is expected")
if not os.path.exists(name):
    os.makedirs(os.path.dirname(name), exist_ok=True)
    os.link(file, name)
