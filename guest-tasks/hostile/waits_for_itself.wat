;; An async function that waits for a value that only itself could give. The task fails as `timeout`.
(component
  (core module $memory (memory (export "memory") 1))
  (core instance $memory (instantiate $memory))
  (type $later (future u32))
  (core func $new (canon future.new $later))
  (core func $read (canon future.read $later (memory $memory "memory")))
  (core module $code
    (import "" "new" (func $new (result i64)))
    (import "" "read" (func $read (param i32 i32) (result i32)))
    (func (export "wait")
      (drop (call $read (i32.wrap_i64 (call $new)) (i32.const 0)))))
  (core instance $instance (instantiate $code
    (with "" (instance (export "new" (func $new)) (export "read" (func $read))))))
  (func (export "wait") async (canon lift (core func $instance "wait") async)))
