;; Its WIT says it has a function, but what has that name is a global. There is nothing that could be called.
;; wit: export mapper: func(text: string) -> string;
(module
  (memory (export "memory") 1)
  (global (export "mapper") i32 (i32.const 1)))
