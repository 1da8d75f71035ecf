;; Computes for ever while the host asks it for room for an argument. It is stopped at its time limit.
;; wit: export mapper: func(text: string) -> u32;
(module
  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (loop (br 0)) (unreachable))
  (func (export "mapper") (param i32 i32) (result i32) (i32.const 1)))
