#include "task.h" /* made of wit/task.wit by the build */

static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

void exports_task_mapper(task_string_t *text, task_sizes_t *ret) {
  task_sizes_t sizes = {.bytes = text->len};
  uint64_t line = 0;
  bool in_word = false;
  for (size_t i = 0; i < text->len; i++) {
    uint8_t byte = text->ptr[i];
    bool is_space = byte == ' ' || (byte >= '\t' && byte <= '\r');
    sizes.words += !is_space && !in_word;
    sizes.lines += byte == '\n';
    in_word = !is_space;
    line = byte == '\n' ? 0 : line + 1;
    sizes.longest = larger(sizes.longest, line);
  }
  task_string_free(text);
  *ret = sizes;
}

void exports_task_reducer(task_sizes_t *a, task_sizes_t *b, task_sizes_t *ret) {
  ret->lines = a->lines + b->lines;
  ret->words = a->words + b->words;
  ret->bytes = a->bytes + b->bytes;
  ret->longest = larger(a->longest, b->longest);
}
