;; A plain core module: its functions take and give numbers, it imports nothing and has no memory.
;; Shows the smallest thing that can be called, for instance `fib` with 30, which is 832040.
(module
  ;; The nth Fibonacci number: 0, 1, 1, 2, 3, 5 … It is 0 for n below 0, and wraps around past n = 92.
  (func (export "fib") (param $n i32) (result i64)
    (local $this i64)
    (local $next i64)
    (local.set $next (i64.const 1))
    (block $done
      (loop $step
        (br_if $done (i32.le_s (local.get $n) (i32.const 0)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        ;; this, next = next, this + next
        (local.get $next)
        (local.set $next (i64.add (local.get $this) (local.get $next)))
        (local.set $this)
        (br $step)))
    (local.get $this))

  ;; The sum of two numbers.
  (func (export "add") (param $a f64) (param $b f64) (result f64)
    (f64.add (local.get $a) (local.get $b))))
