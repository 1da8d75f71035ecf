;; Returns an error with a text of 8 MiB, full of commands to a terminal. The task fails as `guest-error`; its message is short and plain.
;; wit: export mapper: func(text: string) -> result<u32, string>;
(module
  (memory (export "memory") 160)
  ;; The case, then the text's place and length.
  (data (i32.const 8) "\01\00\00\00\00\00\10\00\00\00\80\00")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "mapper") (param i32 i32) (result i32)
    (memory.fill (i32.const 0x100000) (i32.const 27) (i32.const 0x800000))
    (i32.const 8)))
