;; A component that calls an interface for HTTP, which there is not. The task fails as `import-denied`.
(component
  (import "wasi:http/outgoing-handler@0.2.0" (instance $http
    (export "handle" (func (param "request" u32) (result u32)))))
  (core func $handle (canon lower (func $http "handle")))
  (core module $code
    (import "http" "handle" (func $handle (param i32) (result i32)))
    (func (export "fetch") (result i32) (call $handle (i32.const 1))))
  (core instance $instance (instantiate $code
    (with "http" (instance (export "handle" (func $handle))))))
  (func (export "fetch") (result u32) (canon lift (core func $instance "fetch"))))
