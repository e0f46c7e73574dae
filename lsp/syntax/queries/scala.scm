(class_definition name: (identifier) @name) @definition
(object_definition name: (identifier) @name) @definition
(trait_definition name: (identifier) @name) @definition
(function_definition name: (identifier) @name) @definition
(function_declaration name: (identifier) @name) @definition
(type_definition name: (type_identifier) @name) @definition
