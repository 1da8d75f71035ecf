;; What it exports as its memory is a global. It is refused, or has nothing that could be called.
;; wit: export mapper: func(text: string) -> u32;
(module
  (global (export "memory") i32 (i32.const 0))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "mapper") (param i32 i32) (result i32) (i32.const 1)))
