(class_declaration name: (type_identifier) @name) @definition
(protocol_declaration name: (type_identifier) @name) @definition
(function_declaration name: (simple_identifier) @name) @definition
(protocol_function_declaration name: (simple_identifier) @name) @definition
(typealias_declaration name: (type_identifier) @name) @definition
