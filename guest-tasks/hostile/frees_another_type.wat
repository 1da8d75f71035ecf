;; The function that is to free its result takes something else. It is refused.
;; wit: export mapper: func(text: string) -> string;
(module
  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "cabi_post_mapper") (param i64 i64) (result i32) (i32.const 0))
  (func (export "mapper") (param i32 i32) (result i32) (i32.const 8)))
