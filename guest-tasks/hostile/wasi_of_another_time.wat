;; Imports WASI in a version that is gone, and in one that is yet to come. The calls fail as `import-denied`.
(module
  (import "wasi_unstable" "fd_write" (func $old (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview9" "fd_write" (func $new (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "old") (result i32) (call $old (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))
  (func (export "new") (result i32) (call $new (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0))))
