;; A function that calls itself. It fails as `stack-overflow`.
(module
  (func $f (export "_start") (call $f)))
