;; A component that makes error contexts: the host keeps their texts, and no limit counts them. It is refused.
(component
  (core module $memory (memory (export "memory") 1))
  (core instance $memory (instantiate $memory))
  (core func $new (canon error-context.new (memory $memory "memory")))
  (core module $code
    (import "" "new" (func $new (param i32 i32) (result i32)))
    (func (export "make") (loop $for-ever
      (drop (call $new (i32.const 0) (i32.const 65536))) (br $for-ever))))
  (core instance $instance (instantiate $code (with "" (instance (export "new" (func $new))))))
  (func (export "make") (canon lift (core func $instance "make"))))
