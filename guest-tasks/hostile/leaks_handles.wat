;; A component that takes a timer of the host again and again and never gives one back. It fails by its limit of handles.
(component
  (import "wasi:io/poll@0.2.0" (instance $poll (export "pollable" (type (sub resource)))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (alias outer 1 $pollable (type $outer))
    (export "pollable" (type $inner (eq $outer)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $inner))))))
  (core func $subscribe (canon lower (func $clock "subscribe-duration")))
  (core module $code
    (import "clock" "subscribe" (func $subscribe (param i64) (result i32)))
    (func (export "leak") (param $count i32) (result i32)
      (loop
        (drop (call $subscribe (i64.const 1000000000)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br_if 0 (local.get $count)))
      (i32.const 7)))
  (core instance $instance (instantiate $code
    (with "clock" (instance (export "subscribe" (func $subscribe))))))
  (func (export "leak") (param "count" u32) (result u32)
    (canon lift (core func $instance "leak"))))
