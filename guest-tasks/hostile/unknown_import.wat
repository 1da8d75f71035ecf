;; Imports what there is not. It is loaded; the task that calls the import fails as `import-denied`, others go well.
(module
  (import "env" "system" (func $system (param i32) (result i32)))
  (func (export "call_it") (result i32) (call $system (i32.const 1)))
  (func (export "leave_it") (result i32) (i32.const 42)))
