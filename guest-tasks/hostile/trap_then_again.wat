;; Counts its calls, and traps when told to. After a trap its instance is never used again: it counts from 1.
(module
  (global $calls (mut i32) (i32.const 0))
  (func (export "count") (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (global.get $calls))
  (func (export "trap") (global.set $calls (i32.const 100)) unreachable))
