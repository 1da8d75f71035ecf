;; Returns text that begins near 4 GiB and is long enough to end, in 32 bits, within its memory. The task fails as `bad-output`.
;; wit: export mapper: func(text: string) -> string;
(module
  (memory (export "memory") 1)
  (data (i32.const 8) "\f0\ff\ff\ff\20\00\00\00")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "mapper") (param i32 i32) (result i32) (i32.const 8)))
