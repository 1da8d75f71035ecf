;; Takes text and has no function to make room for it. The task fails as `bad-output`.
;; wit: export mapper: func(text: string) -> u32;
(module
  (memory (export "memory") 1)
  (func (export "mapper") (param i32 i32) (result i32) (i32.const 1)))
