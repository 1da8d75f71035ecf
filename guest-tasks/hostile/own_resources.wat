;; A component that makes resources of its own without end and drops none. It fails by a limit, and the host's memory stays.
(component
  (type $thing (resource (rep i32)))
  (core func $new (canon resource.new $thing))
  (core module $code
    (import "thing" "new" (func $new (param i32) (result i32)))
    (func (export "make")
      (loop (drop (call $new (i32.const 1))) (br 0))))
  (core instance $instance (instantiate $code
    (with "thing" (instance (export "new" (func $new))))))
  (func (export "make") (canon lift (core func $instance "make"))))
