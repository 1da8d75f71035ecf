import re
from collections import Counter

import wit_world

NO_LETTERS = re.compile(r"[\W\d_]+")


class WitWorld(wit_world.WitWorld):
    def mapper(self, text: str) -> list[tuple[str, int]]:
        words = (NO_LETTERS.sub("", piece) for piece in text.lower().split())
        return list(Counter(word for word in words if word).items())

    def reducer(self, parts: list[list[tuple[str, int]]]) -> list[tuple[str, int]]:
        sums = Counter()
        for part in parts:
            for word, count in part:
                sums[word] += count
        return sorted(sums.items(), key=lambda item: (-item[1], item[0]))
