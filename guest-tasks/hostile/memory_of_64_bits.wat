;; A memory with 64-bit addresses. It is refused.
(module
  (memory i64 1)
  (func (export "_start")))
