;; A function that calls another one without end, which returns at once and then waits for ever: each call keeps a stack.
;; The task fails as `memory-limit`.
(component
  (component $waiting
    (core module $memory (memory (export "memory") 1))
    (core instance $memory (instantiate $memory))
    (core func $return (canon task.return))
    (core func $new (canon waitable-set.new))
    (core func $wait (canon waitable-set.wait (memory $memory "memory")))
    (core module $code
      (import "" "return" (func $return))
      (import "" "new" (func $new (result i32)))
      (import "" "wait" (func $wait (param i32 i32) (result i32)))
      (func (export "wait")
        (call $return)
        (drop (call $wait (call $new) (i32.const 0)))))
    (core instance $instance (instantiate $code (with "" (instance
      (export "return" (func $return)) (export "new" (func $new)) (export "wait" (func $wait))))))
    (func (export "wait") async (canon lift (core func $instance "wait") async)))
  (instance $waiting (instantiate $waiting))
  (component $beginning
    (import "wait" (func $wait-for-ever async))
    (core func $wait (canon lower (func $wait-for-ever) async))
    (core func $drop (canon subtask.drop))
    (core module $code
      (import "" "wait" (func $wait (result i32)))
      (import "" "drop" (func $drop (param i32)))
      (func (export "begin") (local $call i32)
        (loop $for-ever
          (local.set $call (i32.shr_u (call $wait) (i32.const 4)))
          (if (local.get $call) (then (call $drop (local.get $call))))
          (br $for-ever))))
    (core instance $instance (instantiate $code (with "" (instance
      (export "wait" (func $wait)) (export "drop" (func $drop))))))
    (func (export "begin") (canon lift (core func $instance "begin"))))
  (instance $beginning (instantiate $beginning (with "wait" (func $waiting "wait"))))
  (func (export "begin") (alias export $beginning "begin")))
