;; Computes for ever where instructions are counted. It fails as `fuel-exhausted`.
(module
  (func (export "_start") (loop (br 0))))
