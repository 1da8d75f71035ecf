;; Computes for ever in its start function, before anything of it is called. It is stopped at its time limit.
(module
  (func $start (loop (br 0)))
  (start $start)
  (func (export "_start")))
