"""Unpacks the archive of a package: ARCHIVE FOLDER."""

import os
import sys
import tarfile
import zipfile

archive, folder = sys.argv[1:]
part = folder + ".part"
if archive.endswith(".whl"):
    with zipfile.ZipFile(archive) as wheel:
        wheel.extractall(part)
else:
    with tarfile.open(archive) as package:
        package.extractall(part, filter="data")
os.rename(part, folder)
