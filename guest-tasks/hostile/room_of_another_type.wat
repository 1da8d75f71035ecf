;; Its function to make room has another type. The task fails as `bad-output`.
;; wit: export mapper: func(text: string) -> u32;
(module
  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32) (result i64) (i64.const 1024))
  (func (export "mapper") (param i32 i32) (result i32) (i32.const 1)))
