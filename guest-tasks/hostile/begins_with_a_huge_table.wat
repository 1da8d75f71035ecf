;; Begins with a table that nobody may have. It is refused.
(module
  (table 100000000 funcref)
  (func (export "_start")))
