;; Imports a memory, for which nothing can stand in. It is refused.
(module
  (memory (import "env" "memory") 1)
  (func (export "_start")))
