;; Grows two memories in turn, each of which stays within the limit. Their sum is what counts: growing ends with -1.
(module
  (memory $a 1) (memory $b 1)
  (func (export "pages") (result i32)
    (local $pages i32)
    (loop
      (local.set $pages (i32.add (memory.size $a) (memory.size $b)))
      (drop (memory.grow $a (i32.const 16)))
      (br_if 0 (i32.ne (memory.grow $b (i32.const 16)) (i32.const -1))))
    (i32.add (memory.size $a) (memory.size $b))))
