;; Returns a list whose elements are not aligned. The task fails as `bad-output`.
;; wit: export mapper: func(text: string) -> list<u64>;
(module
  (memory (export "memory") 1)
  (data (i32.const 8) "\11\00\00\00\01\00\00\00")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "mapper") (param i32 i32) (result i32) (i32.const 8)))
