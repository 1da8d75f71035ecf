;; Begins with a table of more elements than it may have. It fails as `memory-limit` before it runs.
(module
  (table 900000 funcref)
  (func (export "_start")))
