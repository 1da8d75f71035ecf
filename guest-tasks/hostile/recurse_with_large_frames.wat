;; Recursion through a table, with many values alive across each call, so that frames are large. It fails as
;; `stack-overflow`.
(module
  (type $f (func (param i64 i64 i64 i64 i64 i64 i64 i64 i64 i64) (result i64)))
  (table 1 funcref)
  (elem (i32.const 0) $recurse)
  (func $recurse (type $f)
    (i64.add
      (call_indirect (type $f)
        (local.get 9) (local.get 8) (local.get 7) (local.get 6) (local.get 5)
        (local.get 4) (local.get 3) (local.get 2) (local.get 1) (local.get 0)
        (i32.const 0))
      (i64.mul (i64.add (local.get 0) (local.get 1)) (i64.add (local.get 2) (local.get 3)))))
  (func (export "deep") (result i64)
    (call $recurse
      (i64.const 0) (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)
      (i64.const 5) (i64.const 6) (i64.const 7) (i64.const 8) (i64.const 9))))
