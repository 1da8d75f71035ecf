;; Writes from buffers that lie out of its memory, in two ways. Each task fails as `trap`, and nothing is printed.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\f0\ff\ff\ff\20\00\00\00")
  (func (export "buffer") (result i32)
    (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)))
  (func (export "list") (result i32)
    (call $write (i32.const 1) (i32.const -8) (i32.const 1) (i32.const 64))))
