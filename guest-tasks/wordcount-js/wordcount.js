// Counts words: a mapper and a reducer (wit/wordcount.wit).
//
// A word is a piece between white space, lower-cased, of which only letters, the numbers that are not decimal digits
// and `_` are kept. White space is what Python's `str.split` goes by, which is more than `\s` has and less: U+001C to
// U+001F and U+0085 part words, U+FEFF does not.

import { CASED, IGNORED, KEPT } from "./unicode.js";

const PIECE = /[^\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/g;
// The engine has no `\p{…}`.
const DROPPED = new RegExp(`[^_${KEPT}]+`, "gu");
// Nor does its toLowerCase know that a capital sigma at the end of a word has a small form of its own.
const FINAL_SIGMA = new RegExp(`(?<=[${CASED}][${IGNORED}]*)Σ(?![${IGNORED}]*[${CASED}])`, "gu");
const COMMON = new Set(
  (
    "the of and in to a is it that which as on by be this with are from will at you not for no have i or if his its they " +
    "but their one all he when than so these them may see other was has an there more we footnote who had been she do what " +
    "her him my me would could said am were very your did"
  ).split(" "),
);

export function mapper(text) {
  const counts = new Map();
  for (const [piece] of text.matchAll(PIECE)) {
    const word = lower(piece).replace(DROPPED, "");
    if (word !== "" && !COMMON.has(word)) {
      counts.set(word, (counts.get(word) ?? 0) + 1);
    }
  }
  // A u64 is a BigInt.
  return Array.from(counts, ([word, count]) => [word, BigInt(count)]);
}

function lower(piece) {
  return (piece.includes("Σ") ? piece.replace(FINAL_SIGMA, "ς") : piece).toLowerCase();
}

export function reducer(parts) {
  const total = new Map();
  for (const part of parts) {
    for (const [word, count] of part) {
      total.set(word, (total.get(word) ?? 0n) + count);
    }
  }
  return [...total].sort(([a, n], [b, m]) => (n === m ? byCodePoint(a, b) : n < m ? 1 : -1));
}

// JavaScript itself orders strings by their UTF-16 units, in which a character past U+FFFF begins with a surrogate and
// so comes before U+E000.
function byCodePoint(a, b) {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) {
    if (a.charCodeAt(at) !== b.charCodeAt(at)) {
      return rank(a.charCodeAt(at)) - rank(b.charCodeAt(at));
    }
  }
  return a.length - b.length;
}

function rank(unit) {
  const isSurrogate = unit >= 0xd800 && unit < 0xe000;
  return isSurrogate ? unit + 0x10000 : unit;
}
