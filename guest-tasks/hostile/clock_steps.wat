;; Reads the clock until it moves, and gives the nanoseconds of one step. They are a whole millisecond at least.
(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
  (memory (export "memory") 1)
  (func $now (result i64)
    (drop (call $time (i32.const 1) (i64.const 1) (i32.const 0)))
    (i64.load (i32.const 0)))
  (func (export "is_coarse") (result i32)
    (local $before i64) (local $after i64)
    (local.set $before (call $now))
    (loop
      (local.set $after (call $now))
      (br_if 0 (i64.eq (local.get $before) (local.get $after))))
    (i64.ge_u (i64.sub (local.get $after) (local.get $before)) (i64.const 1000000))))
