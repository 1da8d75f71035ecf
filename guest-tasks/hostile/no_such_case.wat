;; Returns a case that its type does not have. The task fails as `bad-output`.
;; wit: variant shape { circle(f64), square(u32), none }
;; wit: export mapper: func(text: string) -> list<shape>;
(module
  (memory (export "memory") 1)
  (data (i32.const 8) "\10\00\00\00\01\00\00\00")
  (data (i32.const 16) "\fe\00\00\00")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "mapper") (param i32 i32) (result i32) (i32.const 8)))
