;; Asks for a thread. It is refused.
(module
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (func (export "_start") (drop (call $spawn (i32.const 0)))))
