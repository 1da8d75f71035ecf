"""Counts words: the word count of a serial script, as a mapper and a reducer (wit/wordcount.wit)."""

import re
from collections import Counter

import wit_world

NON_WORD = re.compile(r"[\W\d]+")
COMMON = frozenset(
    "the of and in to a is it that which as on by be this with are from will at you not for no have i or if his its they "
    "but their one all he when than so these them may see other was has an there more we footnote who had been she do what "
    "her him my me would could said am were very your did".split()
)


class WitWorld(wit_world.WitWorld):
    def mapper(self, text: str) -> list[tuple[str, int]]:
        counts = Counter()
        for piece in text.split():
            word = NON_WORD.sub("", piece.lower())
            if word and word not in COMMON:
                counts[word] += 1
        return list(counts.items())

    def reducer(self, parts: list[list[tuple[str, int]]]) -> list[tuple[str, int]]:
        total = Counter()
        for part in parts:
            for word, count in part:
                total[word] += count
        return sorted(total.items(), key=lambda item: (-item[1], item[0]))
