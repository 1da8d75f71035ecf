;; Returns a list of 2^29 elements of 8 bytes: in 32 bits their size is 0. The task fails as `bad-output`.
;; wit: export mapper: func(text: string) -> list<u64>;
(module
  (memory (export "memory") 1)
  (data (i32.const 8) "\10\00\00\00\00\00\00\20")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "mapper") (param i32 i32) (result i32) (i32.const 8)))
