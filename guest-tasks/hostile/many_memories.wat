;; Four memories, each of which is within the limit. It fails as `memory-limit`: their sum is what counts.
(module
  (memory 200) (memory 200) (memory 200) (memory 200)
  (func (export "_start")))
