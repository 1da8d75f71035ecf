;; Fills and copies 64 MiB in single instructions, again and again. It is stopped at its time limit.
(module
  (memory 2048)
  (func (export "_start")
    (loop
      (memory.fill (i32.const 0) (i32.const 7) (i32.const 0x4000000))
      (memory.copy (i32.const 0x4000000) (i32.const 0) (i32.const 0x4000000))
      (br 0))))
