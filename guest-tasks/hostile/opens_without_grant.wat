;; Opens `/etc/passwd` and its like from every directory it could have been given, and looks for such directories. There are none: it
;; gives how many calls went well.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_symlink" (func $symlink (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_renumber" (func $renumber (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "../../../../etc/passwd")
  (func (export "opened") (result i32)
    (local $fd i32) (local $opened i32)
    (loop
      (local.set $opened (i32.add (local.get $opened) (i32.eqz
        (call $open (local.get $fd) (i32.const 1) (i32.const 0) (i32.const 22) (i32.const 0)
          (i64.const 0x1fffffff) (i64.const 0x1fffffff) (i32.const 0) (i32.const 64)))))
      (local.set $opened (i32.add (local.get $opened) (i32.eqz
        (call $open (local.get $fd) (i32.const 1) (i32.const 11) (i32.const 11) (i32.const 9)
          (i64.const 0x1fffffff) (i64.const 0x1fffffff) (i32.const 0) (i32.const 64)))))
      (local.set $opened (i32.add (local.get $opened) (i32.eqz
        (call $symlink (i32.const 11) (i32.const 11) (local.get $fd) (i32.const 18) (i32.const 4)))))
      (local.set $opened (i32.add (local.get $opened) (i32.eqz
        (call $prestat (local.get $fd) (i32.const 64)))))
      (local.set $opened (i32.add (local.get $opened) (i32.eqz
        (call $renumber (local.get $fd) (i32.const 1000)))))
      (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
      (br_if 0 (i32.lt_u (local.get $fd) (i32.const 1000))))
    (local.get $opened)))
