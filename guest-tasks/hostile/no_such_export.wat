;; Its WIT says it has a function that its code has not. There is nothing that could be called.
;; wit: export mapper: func(text: string) -> string;
(module
  (memory (export "memory") 1)
  (func (export "other") (result i32) (i32.const 1)))
