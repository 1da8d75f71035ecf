/* The longest line of a text, as bytes: what `rwasm_task.h` makes of plain C functions, without WIT. */

#include "rwasm_task.h"

/* The first of the longest lines of the input, without its line end. */
static rwasm_bytes mapper(rwasm_bytes input) {
  rwasm_bytes longest = {NULL, 0}, line = {input.at, 0};
  for (size_t i = 0; i <= input.len; i++) {
    if (i == input.len || input.at[i] == '\n') {
      if (line.len > longest.len) {
        longest = line;
      }
      line = (rwasm_bytes){input.at + i + 1, 0};
    } else {
      line.len += 1;
    }
  }
  return longest;
}
RWASM_TASK_BYTES("mapper", mapper)

static rwasm_bytes reducer(rwasm_bytes a, rwasm_bytes b) { return b.len > a.len ? b : a; }
RWASM_TASK_BYTES_MERGE("reducer", reducer)

/* The same for a text, which must have no zero in it. */
static bool checked_line(rwasm_bytes input, rwasm_bytes *output) {
  if (input.len > 0 && memchr(input.at, 0, input.len) != NULL) {
    rwasm_log(RWASM_WARN, "a zero byte");
    *output = rwasm_text("there is a zero byte in the text");
    return false;
  }
  *output = mapper(input);
  return true;
}
RWASM_TASK_TEXT_CHECKED("checked-line", checked_line)

/* The value pushed as `words`, or an error. */
static bool pushed_words(rwasm_bytes input, rwasm_bytes *output) {
  (void)input;
  rwasm_progress(1, 2);
  rwasm_publish("seen", "words", 5);
  if (!rwasm_pushed("words", output)) {
    *output = rwasm_text("no words were pushed");
    return false;
  }
  return true;
}
RWASM_TASK_BYTES_CHECKED("pushed-words", pushed_words)

/* A copy: its memory is another than the input's. */
static rwasm_bytes copied(rwasm_bytes input) { return rwasm_copy(input.at, input.len); }
RWASM_TASK_TEXT("copied", copied)

static rwasm_bytes shorter(rwasm_bytes a, rwasm_bytes b) { return b.len < a.len ? b : a; }
RWASM_TASK_TEXT_MERGE("shorter", shorter)
