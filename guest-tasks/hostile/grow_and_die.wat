;; Asks for 4 GiB and dies when it does not get them. It fails as `memory-limit`.
(module
  (memory 1)
  (func (export "_start")
    (if (i32.eq (memory.grow (i32.const 65535)) (i32.const -1)) (then unreachable))))
