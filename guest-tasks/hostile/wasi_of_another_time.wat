;; Imports WASI in a version that is yet to come. The call fails as `import-denied`.
(module
  (import "wasi_snapshot_preview9" "fd_write" (func $new (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "new") (result i32) (call $new (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0))))
