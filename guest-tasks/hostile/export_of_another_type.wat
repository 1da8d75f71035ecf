;; Its WIT says that a function takes text, its code that it takes a number. It is refused.
;; wit: export mapper: func(text: string) -> string;
(module
  (memory (export "memory") 1)
  (func (export "mapper") (param i64) (result f64) (f64.const 1)))
