;; Builds an endless list of collected objects, all alive. It is refused: there are no such objects here.
(module
  (type $node (struct (field (ref null $node)) (field i64 i64 i64 i64)))
  (func (export "_start")
    (local $list (ref null $node))
    (loop
      (local.set $list
        (struct.new $node (local.get $list) (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)))
      (br 0))))
