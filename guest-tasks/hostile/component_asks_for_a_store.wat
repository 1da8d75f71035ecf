;; A component that calls an interface for a store, which there is not. The task fails as `import-denied`.
(component
  (import "wasi:keyvalue/store@0.2.0" (instance $store
    (export "open" (func (param "name" u32) (result u32)))))
  (core func $open (canon lower (func $store "open")))
  (core module $code
    (import "store" "open" (func $open (param i32) (result i32)))
    (func (export "open") (result i32) (call $open (i32.const 1))))
  (core instance $instance (instantiate $code
    (with "store" (instance (export "open" (func $open))))))
  (func (export "open") (result u32) (canon lift (core func $instance "open"))))
