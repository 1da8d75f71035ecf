;; Asks for one page more, again and again, whatever it gets. It is stopped at its time limit, with what it had.
(module
  (memory 1)
  (func (export "_start") (loop (drop (memory.grow (i32.const 1))) (br 0))))
