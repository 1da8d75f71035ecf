;; Imports a function of WASI under another type. It is refused.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func (param f64) (result i64)))
  (func (export "_start")))
