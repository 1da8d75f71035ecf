;; An async function that computes for ever after it has returned. The task fails as `timeout`: what it leaves running
;; belongs to it.
(component
  (core func $return (canon task.return))
  (core module $code
    (import "" "return" (func $return))
    (func (export "run") (call $return) (loop $for-ever (br $for-ever))))
  (core instance $instance (instantiate $code (with "" (instance (export "return" (func $return))))))
  (func (export "run") async (canon lift (core func $instance "run") async)))
