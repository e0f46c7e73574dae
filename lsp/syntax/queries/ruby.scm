(class name: [(constant) @name (scope_resolution name: (constant) @name)]) @definition
(module name: [(constant) @name (scope_resolution name: (constant) @name)]) @definition
(method name: (identifier) @name) @definition
(singleton_method name: (identifier) @name) @definition
