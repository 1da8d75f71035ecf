;; Grows its memory each time it makes room, so that memory may move while the host writes. All that is passed arrives: it
;; gives the sum of the lengths of all texts.
;; wit: export lengths: func(parts: list<string>) -> u32;
(module
  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (i32.mul (memory.grow (i32.const 1)) (i32.const 65536)))
  (func (export "lengths") (param $at i32) (param $count i32) (result i32)
    (local $sum i32)
    (block
      (br_if 0 (i32.eqz (local.get $count)))
      (loop
        ;; The first letter must be an x.
        (if (i32.ne (i32.load8_u (i32.load (local.get $at))) (i32.const 120)) (then unreachable))
        (local.set $sum (i32.add (local.get $sum) (i32.load offset=4 (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br_if 0 (local.get $count))))
    (local.get $sum)))
