(class_declaration (type_identifier) @name) @definition
(object_declaration (type_identifier) @name) @definition
(function_declaration (simple_identifier) @name) @definition
(type_alias (type_identifier) @name) @definition
