/* Tasks for rwasm-cluster in C: functions over bytes or text, with no generator and no WIT.
 *
 * Copy this file into your project, write a function, and declare it:
 *
 *     #include "rwasm_task.h"
 *
 *     static rwasm_bytes mapper(rwasm_bytes input) { ... }
 *     RWASM_TASK_BYTES("mapper", mapper)
 *
 * makes the export `mapper: func(input: list<u8>) -> list<u8>`. The macros, and the functions they take:
 *
 *     RWASM_TASK_BYTES(NAME, f)         rwasm_bytes f(rwasm_bytes input)
 *     RWASM_TASK_BYTES_CHECKED(NAME, f) bool f(rwasm_bytes input, rwasm_bytes *output)
 *     RWASM_TASK_BYTES_MERGE(NAME, f)   rwasm_bytes f(rwasm_bytes a, rwasm_bytes b)
 *     RWASM_TASK_TEXT…                  the same three for `string`; the output must be UTF-8
 *
 * A CHECKED function returns `result<…, string>`: if it returns false, the output is the error message. A MERGE
 * function is a reducer: `rwasm-cluster run` uses it to combine the results of the mapper. NAME is a literal in
 * kebab-case ("to-upper") of at most 100 letters, and unique in the program.
 *
 * Memory: the caller owns the input and frees it after the function. The output is memory from `malloc`, or an
 * unmodified input or part of it; it is freed once it has been read. `rwasm_copy` allocates such memory.
 *
 * For types other than bytes and text write WIT: docs/src/guides/tasks-c.md. Needs clang, as `clang --target=wasm32-wasi
 * -mexec-model=reactor` or as zig; C99 or later, or C++. */
#ifndef RWASM_TASK_H
#define RWASM_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes, or UTF-8 text without a terminating zero. */
typedef struct rwasm_bytes {
  uint8_t *at;
  size_t len;
} rwasm_bytes;

static inline rwasm_bytes rwasm_of(uint8_t *at, size_t len) {
  rwasm_bytes bytes = {at, len};
  return bytes;
}

/* Returns a copy in newly allocated memory. Ends the task if memory runs out. */
static inline rwasm_bytes rwasm_copy(const void *from, size_t len) {
  rwasm_bytes bytes = rwasm_of(NULL, len);
  if (len > 0) {
    bytes.at = (uint8_t *)malloc(len);
    if (bytes.at == NULL) {
      abort();
    }
    memcpy(bytes.at, from, len);
  }
  return bytes;
}

/* Returns a copy of a C string, without its terminating zero. */
static inline rwasm_bytes rwasm_text(const char *text) { return rwasm_copy(text, strlen(text)); }

/* ---- The host's functions for tasks (wit/host.wit). A file can use them without anything else. ---- */

#define RWASM_HOST(NAME) __attribute__((import_module("rwasm:task/host@0.1.0"), import_name(NAME)))

enum rwasm_level { RWASM_TRACE, RWASM_DEBUG, RWASM_INFO, RWASM_WARN, RWASM_ERROR };

RWASM_HOST("log") void rwasm_host_log(int32_t level, const void *message, size_t len);
RWASM_HOST("progress") void rwasm_host_progress(uint64_t done, int32_t has_total, uint64_t total);
RWASM_HOST("publish") void rwasm_host_publish(const void *name, size_t name_len, const void *value, size_t len);
RWASM_HOST("engine-id") uint32_t rwasm_engine_id(void);
RWASM_HOST("engine-count") uint32_t rwasm_engine_count(void);
RWASM_HOST("pushed") void rwasm_host_pushed(const void *name, size_t len, void *result);

/* Adds a line to the task's log. */
static inline void rwasm_log(enum rwasm_level level, const char *line) { rwasm_host_log(level, line, strlen(line)); }

/* Reports progress; `total` is 0 if it is not known. */
static inline void rwasm_progress(uint64_t done, uint64_t total) { rwasm_host_progress(done, total != 0, total); }

/* Publishes an intermediate value for observers. */
static inline void rwasm_publish(const char *name, const void *value, size_t len) {
  rwasm_host_publish(name, strlen(name), value, len);
}

/* Gets the value that was pushed to this engine under a name, which the caller must free; false if there is none. */
static inline bool rwasm_pushed(const char *name, rwasm_bytes *value) {
  struct {
    uint8_t is_some;
    rwasm_bytes value;
  } result = {0, {NULL, 0}};
  rwasm_host_pushed(name, strlen(name), &result);
  if (result.is_some) {
    *value = result.value;
  }
  return result.is_some != 0;
}

/* ---- The implementation of the macros. ---- */

/* With this function the host allocates memory for inputs and pushed values. */
__attribute__((weak, export_name("cabi_realloc"))) void *cabi_realloc(void *old, size_t old_len, size_t align,
                                                                       size_t len) {
  (void)old_len;
  if (len == 0) {
    return (void *)align;
  }
  void *got = realloc(old, len);
  if (got == NULL) {
    abort();
  }
  return got;
}

/* The memory that holds an output: its own from `malloc`, or that of the input it is part of. */
struct rwasm_output {
  rwasm_bytes bytes;
  void *memory;
};

static inline bool rwasm_is_part(rwasm_bytes part, rwasm_bytes of) {
  /* The end counts too, for an empty part; no other memory begins there, since `malloc` stores headers in between. */
  return of.len > 0 && part.at >= of.at && part.at <= of.at + of.len;
}

static inline struct rwasm_output rwasm_output_of(rwasm_bytes bytes, rwasm_bytes a, rwasm_bytes b) {
  struct rwasm_output output = {bytes, bytes.at};
  if (rwasm_is_part(bytes, a)) {
    output.memory = a.at;
  } else if (a.len > 0) {
    free(a.at);
  }
  if (rwasm_is_part(bytes, b)) {
    output.memory = b.at;
  } else if (b.len > 0) {
    free(b.at);
  }
  return output;
}

#define RWASM_JOIN(a, b) a##b
#define RWASM_NAME(prefix, f) RWASM_JOIN(prefix, f)
#define RWASM_SAID(...) #__VA_ARGS__
#define RWASM_LEN(NAME) (sizeof(NAME) - 1)
#define RWASM_COUNT(...) (sizeof((const uint8_t[]){__VA_ARGS__}))

/* The type of an export, where hosts look for it: a component with a world `rwasm:NAME/task` that has the export, in a
   custom section. The assembler writes the section, since clang would put variables in such a section into data; the
   assembler cannot count, so the lengths come from here. They are one byte each, except that of the type section,
   which has two, of seven bits.

   DECLARATIONS is the number of the world's declarations, INDEX the index of the export's type, and the rest are the
   types as bytes. */
#define RWASM_TYPES(NAME, F, DECLARATIONS, INDEX, ...)                                                             \
  RWASM_TYPES_AS(NAME, RWASM_LEN(NAME), F, DECLARATIONS, INDEX, RWASM_SAID(__VA_ARGS__),                           \
                 5 + 2 + RWASM_COUNT(__VA_ARGS__) + 3 + RWASM_LEN(NAME) + 2 + 3 + RWASM_LEN("rwasm:/task") +       \
                     RWASM_LEN(NAME) + 2 - 1)

#define RWASM_TYPES_AS(NAME, LEN, F, DECLARATIONS, INDEX, TYPES, SIZE)                                             \
  static void RWASM_NAME(rwasm_types_, F)(void) __asm__("rwasm_types_" #F);                                        \
  __attribute__((used, noinline, nodebug)) static void RWASM_NAME(rwasm_types_, F)(void) {                         \
    __asm__ volatile(".section \".custom_section.component-type:c:" NAME "\",\"\",@\n"                             \
                     ".byte 0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0\n"                                                  \
                     ".byte 0, 0x19, 0x16\n.ascii \"wit-component-encoding\"\n.byte 4, 0\n"                        \
                     ".byte 7, %c1, %c2, 1, 0x41, 2, 1, 0x41, " #DECLARATIONS "\n"                                 \
                     ".byte " TYPES "\n"                                                                           \
                     ".byte 4, 0, %c0\n.ascii \"" NAME "\"\n.byte 1, " #INDEX "\n"                                 \
                     ".byte 4, 0, %c3\n.ascii \"rwasm:" NAME "/task\"\n.byte 4, 0\n"                               \
                     ".byte 0x0b, 0x0a, 1, 0, 4\n.ascii \"task\"\n.byte 3, 0, 0\n"                                 \
                     ".section .text.rwasm_types_" #F ",\"R\",@\n"                                                 \
                     :                                                                                             \
                     : "i"(LEN), "i"(((SIZE)&0x7f) | 0x80), "i"((SIZE) >> 7), "i"((LEN) + RWASM_LEN("rwasm:/task"))); \
  }                                                                                                                \
  typedef char RWASM_NAME(rwasm_name_is_too_long_, F)[(LEN) <= 100 ? 1 : -1];

/* Types as bytes: `input`, then a list<u8> by its index 0, or a string. */
#define RWASM_INPUT 1, 0x40, 1, 5, 0x69, 0x6e, 0x70, 0x75, 0x74
#define RWASM_BOTH(T) 1, 0x40, 2, 1, 0x61, T, 1, 0x62, T
#define RWASM_LIST 1, 0x70, 0x7d

/* An export that returns bytes or text: the result is in a separate area, to which a pointer is returned. */
#define RWASM_PLAIN(NAME, F, PARAMETERS, INPUTS, A, B)                                                             \
  static struct rwasm_output RWASM_NAME(rwasm_output_, F);                                                         \
  __attribute__((export_name(NAME))) void *RWASM_NAME(rwasm_export_, F) PARAMETERS {                               \
    RWASM_NAME(rwasm_output_, F) = rwasm_output_of(F INPUTS, A, B);                                                \
    return &RWASM_NAME(rwasm_output_, F);                                                                          \
  }                                                                                                                \
  __attribute__((export_name("cabi_post_" NAME))) void RWASM_NAME(rwasm_post_, F)(void *area) {                    \
    free(((struct rwasm_output *)area)->memory);                                                                   \
  }

#define RWASM_ONE(NAME, F)                                                                                         \
  RWASM_PLAIN(NAME, F, (uint8_t * at, size_t len), (rwasm_of(at, len)), rwasm_of(at, len), rwasm_of(NULL, 0))
#define RWASM_TWO(NAME, F)                                                                                         \
  RWASM_PLAIN(NAME, F, (uint8_t * a, size_t a_len, uint8_t * b, size_t b_len),                                     \
              (rwasm_of(a, a_len), rwasm_of(b, b_len)), rwasm_of(a, a_len), rwasm_of(b, b_len))

/* An export that returns a result: a 0 for `ok` or a 1 for `err` precedes the bytes. */
#define RWASM_CHECKED(NAME, F)                                                                                     \
  static struct {                                                                                                  \
    uint8_t is_error;                                                                                              \
    struct rwasm_output output;                                                                                    \
  } RWASM_NAME(rwasm_output_, F);                                                                                  \
  __attribute__((export_name(NAME))) void *RWASM_NAME(rwasm_export_, F)(uint8_t * at, size_t len) {                \
    rwasm_bytes input = rwasm_of(at, len), output = rwasm_of(NULL, 0);                                                                 \
    RWASM_NAME(rwasm_output_, F).is_error = !F(input, &output);                                                    \
    RWASM_NAME(rwasm_output_, F).output = rwasm_output_of(output, input, rwasm_of(NULL, 0));                        \
    return &RWASM_NAME(rwasm_output_, F);                                                                          \
  }                                                                                                                \
  __attribute__((export_name("cabi_post_" NAME))) void RWASM_NAME(rwasm_post_, F)(void *area) {                    \
    (void)area;                                                                                                    \
    free(RWASM_NAME(rwasm_output_, F).output.memory);                                                              \
  }

#define RWASM_TASK_BYTES(NAME, F) \
  RWASM_ONE(NAME, F) RWASM_TYPES(NAME, F, 3, 1, RWASM_LIST, RWASM_INPUT, 0, 0, 0)
#define RWASM_TASK_BYTES_CHECKED(NAME, F) \
  RWASM_CHECKED(NAME, F)                  \
  RWASM_TYPES(NAME, F, 4, 2, RWASM_LIST, 1, 0x6a, 1, 0, 1, 0x73, RWASM_INPUT, 0, 0, 1)
#define RWASM_TASK_BYTES_MERGE(NAME, F) \
  RWASM_TWO(NAME, F) RWASM_TYPES(NAME, F, 3, 1, RWASM_LIST, RWASM_BOTH(0), 0, 0)
#define RWASM_TASK_TEXT(NAME, F) RWASM_ONE(NAME, F) RWASM_TYPES(NAME, F, 2, 0, RWASM_INPUT, 0x73, 0, 0x73)
#define RWASM_TASK_TEXT_CHECKED(NAME, F) \
  RWASM_CHECKED(NAME, F)                 \
  RWASM_TYPES(NAME, F, 3, 1, 1, 0x6a, 1, 0x73, 1, 0x73, RWASM_INPUT, 0x73, 0, 0)
#define RWASM_TASK_TEXT_MERGE(NAME, F) RWASM_TWO(NAME, F) RWASM_TYPES(NAME, F, 2, 0, RWASM_BOTH(0x73), 0, 0x73)

#ifdef __cplusplus
}
#endif

#endif
