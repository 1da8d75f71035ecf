;; Recurses while the host asks it for room. It fails as `stack-overflow`.
;; wit: export mapper: func(text: string) -> u32;
(module
  (memory (export "memory") 1)
  (func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (call $realloc (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
  (func (export "mapper") (param i32 i32) (result i32) (i32.const 1)))
