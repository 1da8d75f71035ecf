;; Accepts, reads, writes and closes sockets that nobody gave it, on every number a file could have. All are refused: it gives how
;; many calls went well.
(module
  (import "wasi_snapshot_preview1" "sock_accept" (func $accept (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_recv" (func $recv (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_send" (func $send (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_shutdown" (func $shutdown (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "opened") (result i32)
    (local $fd i32) (local $opened i32)
    (loop
      (local.set $opened (i32.add (local.get $opened) (i32.eqz
        (call $accept (local.get $fd) (i32.const 0) (i32.const 64)))))
      (local.set $opened (i32.add (local.get $opened) (i32.eqz
        (call $recv (local.get $fd) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64) (i32.const 68)))))
      (local.set $opened (i32.add (local.get $opened) (i32.eqz
        (call $send (local.get $fd) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64)))))
      (local.set $opened (i32.add (local.get $opened) (i32.eqz
        (call $shutdown (local.get $fd) (i32.const 1)))))
      (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
      (br_if 0 (i32.lt_u (local.get $fd) (i32.const 1000))))
    (local.get $opened)))
