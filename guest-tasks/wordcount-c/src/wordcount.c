/* Counts words: a mapper and a reducer whose types stand in wit/wordcount.wit. wordcount.h is made of it by the build,
   with the names and the rules of ownership: what a function is given is its own to free, what it gives is freed by its
   caller. */

#include "wordcount.h"

#include <stdlib.h>
#include <string.h>

#include "words.h"

typedef wordcount_tuple2_string_u64_t entry;
typedef wordcount_list_tuple2_string_u64_t counts;

/* Words too common to count. */
static const char *const COMMON[] = {
    "the",  "of",   "and",   "in",   "to",   "a",    "is",    "it",    "that", "which", "as",       "on",   "by",   "be",
    "this", "with", "are",   "from", "will", "at",   "you",   "not",   "for",  "no",    "have",     "i",    "or",   "if",
    "his",  "its",  "they",  "but",  "their", "one", "all",   "he",    "when", "than",  "so",       "these", "them", "may",
    "see",  "other", "was",  "has",  "an",   "there", "more", "we",    "footnote", "who", "had",    "been", "she",  "do",
    "what", "her",  "him",   "my",   "me",   "would", "could", "said", "am",   "were",  "very",     "your", "did",
};

/* Entries in order of first appearance, and an index by hash: open addressing, at most half full, 0 for a free slot,
   else the number of an entry counted from 1. */
struct table {
  entry *entries;
  size_t len, room;
  uint32_t *slots;
  size_t slot_count;
};

/* FNV-1a: a text made to collide costs its own task time, no more. */
static uint32_t hash(struct bytes word) {
  uint32_t hash = 2166136261u;
  for (size_t i = 0; i < word.len; i++) {
    hash = (hash ^ word.at[i]) * 16777619u;
  }
  return hash;
}

static struct bytes word_of(const entry *entry) {
  return (struct bytes){entry->f0.ptr, entry->f0.len};
}

static int same(struct bytes a, struct bytes b) {
  return a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
}

static uint32_t *slot_of(struct table *table, struct bytes word) {
  size_t mask = table->slot_count - 1, at = hash(word) & mask;
  while (table->slots[at] != 0 && !same(word_of(&table->entries[table->slots[at] - 1]), word)) {
    at = (at + 1) & mask;
  }
  return &table->slots[at];
}

static void grow(struct table *table) {
  table->room = table->room == 0 ? 1024 : table->room * 2;
  table->entries = need(table->entries, table->room * sizeof *table->entries);
  table->slot_count = table->room * 2;
  table->slots = need(table->slots, table->slot_count * sizeof *table->slots);
  memset(table->slots, 0, table->slot_count * sizeof *table->slots);
  for (size_t i = 0; i < table->len; i++) {
    *slot_of(table, word_of(&table->entries[i])) = i + 1;
  }
}

/* The entry of a word; a new one has no bytes of its own yet and a count of 0. */
static entry *entry_of(struct table *table, struct bytes word) {
  if (table->len == table->room) {
    grow(table);
  }
  uint32_t *slot = slot_of(table, word);
  if (*slot == 0) {
    table->entries[table->len++] = (entry){{NULL, 0}, 0};
    *slot = table->len;
  }
  return &table->entries[*slot - 1];
}

static int is_common(struct bytes word) {
  for (size_t i = 0; i < sizeof COMMON / sizeof *COMMON; i++) {
    if (same(word, (struct bytes){(const uint8_t *)COMMON[i], strlen(COMMON[i])})) {
      return 1;
    }
  }
  return 0;
}

/* The result has the entries; the index goes. */
static void give(struct table *table, counts *ret) {
  free(table->slots);
  ret->ptr = table->entries;
  ret->len = table->len;
}

/* Common words are left out at the end: comparing each different word once is less than each word. */
static void drop_common(counts *counts) {
  size_t kept = 0;
  for (size_t i = 0; i < counts->len; i++) {
    if (is_common(word_of(&counts->ptr[i]))) {
      free(counts->ptr[i].f0.ptr);
    } else {
      counts->ptr[kept++] = counts->ptr[i];
    }
  }
  counts->len = kept;
  if (kept == 0) {
    // An empty list has no memory of its own, and none that would be freed.
    free(counts->ptr);
    counts->ptr = NULL;
  }
}

void exports_wordcount_mapper(wordcount_string_t *text, counts *ret) {
  struct table table = {0};
  struct draft draft = {0};
  struct bytes rest = {text->ptr, text->len};
  while (next_word(&rest, &draft)) {
    entry *entry = entry_of(&table, (struct bytes){draft.at, draft.len});
    if (entry->f1++ == 0) {
      entry->f0.ptr = need(NULL, draft.len);
      entry->f0.len = draft.len;
      memcpy(entry->f0.ptr, draft.at, draft.len);
    }
  }
  free(draft.at);
  wordcount_string_free(text);
  give(&table, ret);
  drop_common(ret);
}

/* By falling count, then by word. Bytes of UTF-8 order as the characters do. */
static int order(const void *left, const void *right) {
  const entry *a = left, *b = right;
  if (a->f1 != b->f1) {
    return a->f1 < b->f1 ? 1 : -1;
  }
  size_t shorter = a->f0.len < b->f0.len ? a->f0.len : b->f0.len;
  int first = memcmp(a->f0.ptr, b->f0.ptr, shorter);
  return first != 0 ? first : (a->f0.len > b->f0.len) - (a->f0.len < b->f0.len);
}

void exports_wordcount_reducer(wordcount_list_list_tuple2_string_u64_t *parts, counts *ret) {
  struct table table = {0};
  for (size_t i = 0; i < parts->len; i++) {
    for (size_t j = 0; j < parts->ptr[i].len; j++) {
      entry *part = &parts->ptr[i].ptr[j];
      entry *entry = entry_of(&table, word_of(part));
      entry->f1 += part->f1;
      if (entry->f0.ptr == NULL) {
        // The first part's string becomes the result's, and is not freed with the parts.
        entry->f0 = part->f0;
        part->f0.len = 0;
      }
    }
  }
  wordcount_list_list_tuple2_string_u64_free(parts);
  give(&table, ret);
  qsort(ret->ptr, ret->len, sizeof *ret->ptr, order);
}
