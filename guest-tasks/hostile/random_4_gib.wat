;; Asks for 4 GiB of random bytes, and for all that its memory could hold. Neither is given, and the host allocates neither.
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 3200)
  (func (export "most") (result i32) (call $random (i32.const 0) (i32.const -1)))
  (func (export "all") (result i32) (call $random (i32.const 0) (i32.const 209715200))))
