;; Ends the whole program while it is being instantiated. A program may; for a function it is not a result: `exit-code`.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func $start (call $exit (i32.const 0)))
  (start $start)
  (func (export "answer") (result i32) (i32.const 42)))
