;; One collected array of 2 GiB. It is refused: there are no such objects here.
(module
  (type $bytes (array (mut i64)))
  (func (export "_start")
    (drop (array.new_default $bytes (i32.const 0x10000000)))))
