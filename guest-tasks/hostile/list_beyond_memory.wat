;; Returns a list of 2 GiB in a memory of 64 KiB. The task fails as `bad-output`, before the host allocates anything.
;; wit: export mapper: func(text: string) -> list<u8>;
(module
  (memory (export "memory") 1)
  (data (i32.const 8) "\10\00\00\00\00\00\00\80")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "mapper") (param i32 i32) (result i32) (i32.const 8)))
