;; Returns a list of 2^27 lists, most of which would lie out of its memory. The task fails as `bad-output`, before the host
;; allocates anything.
;; wit: export mapper: func(text: string) -> list<list<u64>>;
(module
  (memory (export "memory") 1)
  (data (i32.const 8) "\10\00\00\00\00\00\00\08")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "mapper") (param i32 i32) (result i32) (i32.const 8)))
