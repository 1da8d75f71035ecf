;; The names of its import are commands to a terminal. The failure that names it is plain text.
(module
  (import "\1b[2J\1b[31m" "\1b]0;title\07\00" (func $import))
  (func (export "call_it") (call $import)))
