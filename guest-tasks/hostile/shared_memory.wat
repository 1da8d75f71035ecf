;; Shares its memory between threads. It is refused.
(module
  (memory (export "memory") 1 1 shared)
  (func (export "_start")))
