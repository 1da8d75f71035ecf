;; Waits for two timers of no length, again and again, so that the host has to poll. It is stopped at its time limit.
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  ;; Two subscriptions of 48 bytes, all zero: a clock, a timeout of 0.
  (func (export "_start")
    (loop
      (drop (call $poll (i32.const 0) (i32.const 1024) (i32.const 2) (i32.const 2048)))
      (br 0))))
