;; Two functions that call each other in tail position: neither stack nor memory grows. It is stopped at its time limit.
(module
  (func $ping (return_call $pong))
  (func $pong (return_call $ping))
  (func (export "_start") (call $ping)))
