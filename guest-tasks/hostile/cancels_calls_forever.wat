;; A function that begins to wait, cancels that and forgets it, without end and without ever waiting for anything. The task
;; fails as `memory-limit`: what was cancelled is kept until the guest waits.
(component
  (import "wasi:clocks/monotonic-clock@0.3.0" (instance $clock
    (export "wait-for" (func async (param "how-long" u64)))))
  (core func $wait (canon lower (func $clock "wait-for") async))
  (core func $cancel (canon subtask.cancel async))
  (core func $drop (canon subtask.drop))
  (core module $code
    (import "" "wait" (func $wait (param i64) (result i32)))
    (import "" "cancel" (func $cancel (param i32) (result i32)))
    (import "" "drop" (func $drop (param i32)))
    (func (export "begin") (local $call i32)
      (loop $for-ever
        (local.set $call (i32.shr_u (call $wait (i64.const 1000000000000)) (i32.const 4)))
        (drop (call $cancel (local.get $call)))
        (call $drop (local.get $call))
        (br $for-ever))))
  (core instance $instance (instantiate $code (with "" (instance
    (export "wait" (func $wait)) (export "cancel" (func $cancel)) (export "drop" (func $drop))))))
  (func (export "begin") (canon lift (core func $instance "begin"))))
