;; Makes room at address 0, over what it has there. That is its own affair: it gives the first byte of what was written.
;; wit: export mapper: func(text: string) -> u32;
(module
  (memory (export "memory") 1)
  (data (i32.const 0) "its own")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
  (func (export "mapper") (param i32 i32) (result i32) (i32.load8_u (i32.const 0))))
