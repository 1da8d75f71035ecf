// What is between words: the engine has no `\p{L}`, so the characters that part words are named.
const BETWEEN = /[\s\d!-\/:-@[-`{-~\xa1-\xbf\u2010-\u2027\u2030-\u205e\u3001-\u303f]+/;

export function mapper(text) {
  const counts = new Map();
  for (const word of text.toLowerCase().split(BETWEEN)) {
    if (word !== "") {
      counts.set(word, (counts.get(word) ?? 0n) + 1n); // a u64 is a BigInt
    }
  }
  return [...counts];
}

export function reducer(parts) {
  const sums = new Map();
  for (const [word, count] of parts.flat()) {
    sums.set(word, (sums.get(word) ?? 0n) + count);
  }
  return [...sums].sort(([a, n], [b, m]) => (n === m ? (a < b ? -1 : 1) : n < m ? 1 : -1));
}
