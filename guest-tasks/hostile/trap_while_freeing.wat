;; Traps when it is to free the result it returned. The task fails as `trap`.
;; wit: export mapper: func(text: string) -> string;
(module
  (memory (export "memory") 1)
  (data (i32.const 8) "\10\00\00\00\02\00\00\00")
  (data (i32.const 16) "ok")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "cabi_post_mapper") (param i32) unreachable)
  (func (export "mapper") (param i32 i32) (result i32) (i32.const 8)))
