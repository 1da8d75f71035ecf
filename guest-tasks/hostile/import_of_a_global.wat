;; Imports a variable, for which nothing can stand in. It is refused.
(module
  (global (import "env" "stack_pointer") (mut i32))
  (func (export "_start")))
