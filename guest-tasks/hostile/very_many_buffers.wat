;; Writes from four million buffers at once, all empty but the last. It is over soon.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1024)
  (func (export "_start")
    ;; The last of the buffers is one byte at 0.
    (i32.store (i32.const 32065532) (i32.const 1))
    (drop (call $write (i32.const 1) (i32.const 65536) (i32.const 4000000) (i32.const 67108860)))))
