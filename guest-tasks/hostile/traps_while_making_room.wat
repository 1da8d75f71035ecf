;; Traps while the host asks it for room. The task fails as `trap`.
;; wit: export mapper: func(text: string) -> u32;
(module
  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
  (func (export "mapper") (param i32 i32) (result i32) (i32.const 1)))
