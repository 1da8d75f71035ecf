;; A component that imports WASI in a version that is yet to come. The task fails as `import-denied`.
(component
  (import "wasi:cli/environment@0.9.0" (instance $cli
    (export "initial-cwd" (func (result u32)))))
  (core func $cwd (canon lower (func $cli "initial-cwd")))
  (core module $code
    (import "cli" "cwd" (func $cwd (result i32)))
    (func (export "ask") (result i32) (call $cwd)))
  (core instance $instance (instantiate $code
    (with "cli" (instance (export "cwd" (func $cwd))))))
  (func (export "ask") (result u32) (canon lift (core func $instance "ask"))))
