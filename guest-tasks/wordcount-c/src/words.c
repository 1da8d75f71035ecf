/* A word is a piece between white space, lower-cased, of which only letters, the numbers that are not decimal digits
   (Roman numerals, fractions) and `_` are kept. Pieces of which nothing is kept are not words. White space is what
   Python's `str.isspace` says: Unicode's, and the four separators U+001C to U+001F. */

#include "words.h"

#include <stdio.h>
#include <stdlib.h>

#include "unicode_tables.h"

#define COUNT(table) (sizeof(table) / sizeof *(table))

enum { CAPITAL_SIGMA = 0x3a3, SMALL_SIGMA = 0x3c3, FINAL_SIGMA = 0x3c2 };

/* No character has more bytes than this in UTF-8, nor has what becomes of it. */
enum { LONGEST = 4 };

void *need(void *memory, size_t size) {
  void *got = realloc(memory, size);
  if (got == NULL && size > 0) {
    fputs("out of memory\n", stderr);
    abort();
  }
  return got;
}

static int is_in(const struct range *ranges, size_t count, uint32_t code) {
  size_t from = 0, to = count;
  while (from < to) {
    size_t middle = (from + to) / 2;
    if (code > ranges[middle].last) {
      from = middle + 1;
    } else if (code < ranges[middle].first) {
      to = middle;
    } else {
      return 1;
    }
  }
  return 0;
}

static uint32_t small(uint32_t code) {
  size_t from = 0, to = COUNT(LOWER);
  while (from < to) {
    size_t middle = (from + to) / 2;
    const struct lower *run = &LOWER[middle];
    if (code > run->last) {
      from = middle + 1;
    } else if (code < run->first) {
      to = middle;
    } else {
      return (code - run->first) % run->step == 0 ? (uint32_t)((int32_t)code + run->delta) : code;
    }
  }
  return code;
}

static int is_space(uint32_t code) {
  return (code >= 0x9 && code <= 0xd) || (code >= 0x1c && code <= 0x20) || code == 0x85 || code == 0xa0 ||
         code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 || code == 0x2029 || code == 0x202f ||
         code == 0x205f || code == 0x3000;
}

/* The character at `at`, of which there is a whole one; `at` goes on behind it. */
static uint32_t take(const uint8_t **at) {
  const uint8_t *bytes = *at;
  uint32_t first = bytes[0];
  if (first < 0x80) {
    *at += 1;
    return first;
  }
  size_t more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
  uint32_t code = first & (0x3f >> more);
  for (size_t i = 1; i <= more; i++) {
    code = code << 6 | (bytes[i] & 0x3f);
  }
  *at += 1 + more;
  return code;
}

/* The same for the character before `at`, which goes back to its begin. */
static uint32_t take_back(const uint8_t **at) {
  do {
    *at -= 1;
  } while ((**at & 0xc0) == 0x80);
  const uint8_t *begin = *at;
  return take(&begin);
}

/* Whether a capital sigma between `begin` and `end` is the last letter of a word and not its first, as Unicode says. */
static int is_final(const uint8_t *begin, const uint8_t *sigma, const uint8_t *behind, const uint8_t *end) {
  uint32_t code = ' ';
  do {
    if (sigma == begin) {
      return 0;
    }
    code = take_back(&sigma);
  } while (is_in(IGNORED, COUNT(IGNORED), code));
  if (!is_in(CASED, COUNT(CASED), code)) {
    return 0;
  }
  do {
    if (behind == end) {
      return 1;
    }
    code = take(&behind);
  } while (is_in(IGNORED, COUNT(IGNORED), code));
  return !is_in(CASED, COUNT(CASED), code);
}

static void push(struct draft *draft, uint32_t code) {
  if (draft->room - draft->len < LONGEST) {
    draft->room = draft->room * 2 + 64;
    draft->at = need(draft->at, draft->room);
  }
  uint8_t *to = draft->at + draft->len;
  if (code < 0x80) {
    to[0] = code;
    draft->len += 1;
  } else if (code < 0x800) {
    to[0] = 0xc0 | code >> 6;
    to[1] = 0x80 | (code & 0x3f);
    draft->len += 2;
  } else if (code < 0x10000) {
    to[0] = 0xe0 | code >> 12;
    to[1] = 0x80 | (code >> 6 & 0x3f);
    to[2] = 0x80 | (code & 0x3f);
    draft->len += 3;
  } else {
    to[0] = 0xf0 | code >> 18;
    to[1] = 0x80 | (code >> 12 & 0x3f);
    to[2] = 0x80 | (code >> 6 & 0x3f);
    to[3] = 0x80 | (code & 0x3f);
    draft->len += 4;
  }
}

/* The end of the piece that begins at `at`: the next white space, or the end of the text. */
static const uint8_t *piece_end(const uint8_t *at, const uint8_t *end) {
  while (at < end) {
    const uint8_t *behind = at;
    if (is_space(take(&behind))) {
      break;
    }
    at = behind;
  }
  return at;
}

int next_word(struct bytes *text, struct draft *draft) {
  const uint8_t *at = text->at, *end = text->at + text->len, *begin = at;
  draft->len = 0;
  for (;;) {
    const uint8_t *here = at;
    uint32_t code = at < end ? take(&at) : ' ';
    if (code < 0x80) {
      uint32_t letter = code | 0x20;
      if ((letter >= 'a' && letter <= 'z') || code == '_') {
        push(draft, code == '_' ? code : letter);
        continue;
      }
    } else if (code == CAPITAL_SIGMA) {
      push(draft, is_final(begin, here, at, piece_end(at, end)) ? FINAL_SIGMA : SMALL_SIGMA);
      continue;
    }
    if (is_space(code)) {
      begin = at;
      if (draft->len > 0 || here == end) {
        break;
      }
    } else if (code >= 0x80) {
      code = small(code);
      if (is_in(KEPT, COUNT(KEPT), code)) {
        push(draft, code);
      }
    }
  }
  text->at = at;
  text->len = end - at;
  return draft->len > 0;
}
