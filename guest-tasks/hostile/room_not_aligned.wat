;; Makes room that is not aligned as it was asked for. The task fails as `bad-output`.
;; wit: export total: func(numbers: list<u64>) -> u64;
(module
  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1025))
  (func (export "total") (param i32 i32) (result i64) (i64.const 1)))
