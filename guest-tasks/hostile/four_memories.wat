;; As many memories as one instance may have, and a count of its calls that wants to be kept. It gives the count; what it keeps leaves
;; room for others.
(module
  (memory 1) (memory 1) (memory 1) (memory 1)
  (global $calls (mut i32) (i32.const 0))
  (func (export "count") (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (global.get $calls)))
