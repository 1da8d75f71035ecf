;; Logs a text of 64 KiB to the host without end. It is stopped at its time limit, and the host's memory stays.
(module
  (import "rwasm:task/host@0.1.0" "log" (func $log (param i32 i32 i32)))
  (memory (export "memory") 2)
  (func (export "_start")
    (memory.fill (i32.const 0) (i32.const 27) (i32.const 65536))
    (loop (call $log (i32.const 2) (i32.const 0) (i32.const 65536)) (br 0))))
