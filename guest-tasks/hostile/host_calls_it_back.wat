;; Asks the host for a pushed value, and again while the host asks it for room for that value, and so on: the guest's
;; frames and the host's would pile up on one stack. It fails as `stack-overflow` or as `bad-output`, and the process lives.
(module
  (import "rwasm:task/host@0.1.0" "pushed" (func $pushed (param i32 i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "name")
  (func $ask (call $pushed (i32.const 0) (i32.const 4) (i32.const 16)))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (call $ask) (i32.const 1024))
  (func (export "ask") (result i32) (call $ask) (i32.load (i32.const 16))))
