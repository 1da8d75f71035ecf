/* What a word is, and finding the words of a text. */
#ifndef WORDS_H
#define WORDS_H

#include <stddef.h>
#include <stdint.h>

/* Some bytes: a text, or a word in it. */
struct bytes {
  const uint8_t *at;
  size_t len;
};

/* A word while it is made; its memory grows and is used for the next one. Begins as zeros, ends with `free(draft.at)`. */
struct draft {
  uint8_t *at;
  size_t len, room;
};

/* Takes the next word from the front of `text` into `draft`, lower-cased and without what words do not keep; gives 0
   where there is none. The text must be UTF-8, as a string of WIT is. */
int next_word(struct bytes *text, struct draft *draft);

/* The memory of `malloc` or `realloc`; without any left the task ends. */
void *need(void *memory, size_t size);

#endif
