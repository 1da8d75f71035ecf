"""Async functions, and functions that read and write streams."""

import asyncio
from collections import Counter

import componentize_py_async_support
import wit_world
from wit_world import u32_stream

PIECE = 64 << 10


class WitWorld(wit_world.WitWorld):
    async def count(self, data):
        counts = Counter()
        rest = b""
        with data:
            while piece := await data.read(PIECE):
                # The last word may go on in the next piece.
                *words, rest = (rest + piece).replace(b"\n", b" ").split(b" ")
                counts.update(words)
        counts.update([rest])
        return [(word.decode(), count) for word, count in counts.items() if word]

    async def numbers(self, count):
        writer, reader = u32_stream()

        async def write():
            with writer:
                for number in range(count):
                    await writer.write_all([number])

        # It goes on after the function has returned.
        componentize_py_async_support.spawn(write())
        return reader

    async def add_one(self, number):
        await asyncio.sleep(0)
        return number + 1
