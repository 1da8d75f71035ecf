;; Eight tables, each of which is within the limit. It fails as `memory-limit`: their sum is what counts.
(module
  (table 20000 funcref) (table 20000 funcref) (table 20000 funcref) (table 20000 funcref)
  (table 20000 funcref) (table 20000 funcref) (table 20000 funcref) (table 20000 funcref)
  (func (export "_start")))
