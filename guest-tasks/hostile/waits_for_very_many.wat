;; Waits for four million timers at once, each of which is an object of the host's. It fails by its limit of handles.
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 3600)
  (func (export "wait") (result i32)
    (call $poll (i32.const 0) (i32.const 0) (i32.const 2000000) (i32.const 235929500))))
