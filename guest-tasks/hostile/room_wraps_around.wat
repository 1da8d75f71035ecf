;; Makes room so near 4 GiB that its end wraps around. The task fails as `bad-output`, and nothing is written.
;; wit: export mapper: func(text: string) -> u32;
(module
  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const -4))
  (func (export "mapper") (param i32 i32) (result i32) (i32.const 1)))
