;; Computes for ever in `_initialize`, where static constructors run. It is stopped at its time limit.
(module
  (func (export "_initialize") (loop (br 0)))
  (func (export "answer") (result i32) (i32.const 42)))
