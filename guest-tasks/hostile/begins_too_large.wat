;; Begins with more memory than it may have. It fails as `memory-limit` before it runs.
(module
  (memory 5000)
  (func (export "_start")))
