;; Returns flags and a bool with bits set that mean nothing. They are ignored, as the ABI has it.
;; wit: flags colours { red, green, blue }
;; wit: export mapper: func(text: string) -> tuple<colours, bool>;
(module
  (memory (export "memory") 1)
  (data (i32.const 8) "\fa\ff")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "mapper") (param i32 i32) (result i32) (i32.const 8)))
