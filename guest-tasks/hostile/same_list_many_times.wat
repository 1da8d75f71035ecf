;; Returns a list of 4096 lists, all of them the same 4096 lists, which are all the same 4096 bytes: 64 GiB out of one MiB. The task
;; fails as `output-limit`.
;; wit: export mapper: func(text: string) -> list<list<list<u8>>>;
(module
  (memory (export "memory") 16)
  (data (i32.const 8) "\00\00\01\00\00\10\00\00")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func $fill (param $at i32) (param $place i32) (param $length i32)
    (local $end i32)
    (local.set $end (i32.add (local.get $at) (i32.const 0x8000)))
    (loop
      (i32.store (local.get $at) (local.get $place))
      (i32.store offset=4 (local.get $at) (local.get $length))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br_if 0 (i32.lt_u (local.get $at) (local.get $end)))))
  (func (export "mapper") (param i32 i32) (result i32)
    (call $fill (i32.const 0x10000) (i32.const 0x20000) (i32.const 0x1000))
    (call $fill (i32.const 0x20000) (i32.const 0x30000) (i32.const 0x1000))
    (i32.const 8)))
