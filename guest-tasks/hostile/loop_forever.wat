;; Computes for ever. It is stopped at its time limit.
(module
  (func (export "_start") (loop (br 0))))
