;; Its functions have names that a terminal would obey, and one that is very long, and traps in them. What is told of the trap is short and plain.
(module
  (func $"\1b[2J\1b]0;title\07" (param i32) (if (i32.eqz (local.get 0)) (then unreachable))
    (call $"\1b[2J\1b]0;title\07" (i32.sub (local.get 0) (i32.const 1))))
  (func (export "trap") (call $"\1b[2J\1b]0;title\07" (i32.const 100))))
