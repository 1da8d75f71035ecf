;; Asks for 4 GiB. It gets -1, and goes on.
(module
  (memory 1)
  (func (export "grow") (result i32) (memory.grow (i32.const 65535))))
