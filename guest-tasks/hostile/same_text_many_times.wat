;; Returns a list of a million strings, all of them the same 512 KiB: half a terabyte, if it were copied. The task fails as
;; `output-limit`.
;; wit: export mapper: func(text: string) -> list<string>;
(module
  ;; The text at 1 MiB, the list's elements from 2 MiB on.
  (memory (export "memory") 160)
  (data (i32.const 8) "\00\00\20\00\00\00\10\00")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "mapper") (param i32 i32) (result i32)
    (local $at i32)
    (memory.fill (i32.const 0x100000) (i32.const 97) (i32.const 0x80000))
    (local.set $at (i32.const 0x200000))
    (loop
      (i32.store (local.get $at) (i32.const 0x100000))
      (i32.store offset=4 (local.get $at) (i32.const 0x80000))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br_if 0 (i32.lt_u (local.get $at) (i32.const 0xa00000))))
    (i32.const 8)))
