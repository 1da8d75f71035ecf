;; Returns text that is not UTF-8. The task fails as `bad-output`.
;; wit: export mapper: func(text: string) -> string;
(module
  (memory (export "memory") 1)
  ;; The result area: a pointer and a length.
  (data (i32.const 8) "\10\00\00\00\04\00\00\00")
  (data (i32.const 16) "ok\ff\fe")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "mapper") (param i32 i32) (result i32) (i32.const 8)))
