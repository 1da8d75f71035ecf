;; Returns a character that there is not, half of a surrogate pair. The task fails as `bad-output`.
;; wit: export mapper: func(text: string) -> char;
(module
  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "mapper") (param i32 i32) (result i32) (i32.const 0xd800)))
