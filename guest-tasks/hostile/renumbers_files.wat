;; Moves its files and directories over each other, over its streams and to numbers that do not exist, closes them twice, and
;; does it again. It ends well, and what is left open is closed with it.
(module
  (import "wasi_snapshot_preview1" "fd_renumber" (func $renumber (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "own")
  (func $opened (result i32)
    ;; To read and write.
    (if (call $open (i32.const 3) (i32.const 0) (i32.const 64) (i32.const 3) (i32.const 0)
          (i64.const 66) (i64.const 66) (i32.const 0) (i32.const 32))
      (then (return (i32.const -1))))
    (i32.load (i32.const 32)))
  (func (export "_start")
    (local $round i32) (local $from i32)
    (loop $rounds
      (local.set $from (call $opened))
      (drop (call $renumber (local.get $from) (i32.add (local.get $round) (i32.const 5))))
      (drop (call $renumber (local.get $from) (local.get $from)))
      (drop (call $renumber (local.get $from) (i32.const 0x7fffffff)))
      (drop (call $renumber (i32.const 0x7fffffff) (i32.const 4)))
      (drop (call $renumber (i32.const -1) (i32.const -2)))
      ;; A file becomes stderr, and stderr a file.
      (drop (call $renumber (call $opened) (i32.const 2)))
      (drop (call $renumber (i32.const 2) (call $opened)))
      (drop (call $renumber (i32.const 4) (call $opened)))
      (drop (call $close (local.get $from)))
      (drop (call $close (local.get $from)))
      (drop (call $write (i32.const 2) (i32.const 128) (i32.const 1) (i32.const 136)))
      (local.set $round (i32.add (local.get $round) (i32.const 1)))
      (br_if $rounds (i32.lt_u (local.get $round) (i32.const 1000))))
    (drop (call $renumber (i32.const 3) (i32.const 0)))
    (drop (call $renumber (i32.const 1) (i32.const 3)))))
