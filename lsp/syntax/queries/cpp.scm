(class_specifier name: (type_identifier) @name body: (_)) @definition
(struct_specifier name: (type_identifier) @name body: (_)) @definition
(union_specifier name: (type_identifier) @name body: (_)) @definition
(enum_specifier name: (type_identifier) @name body: (_)) @definition
(alias_declaration name: (type_identifier) @name) @definition
(type_definition declarator: (type_identifier) @name) @definition
(concept_definition name: (identifier) @name) @definition
(function_definition
  declarator: (function_declarator declarator: [
    (identifier) @name
    (field_identifier) @name
    (qualified_identifier name: (identifier) @name)
  ])) @definition
(function_definition
  declarator: (_ (function_declarator declarator: [
    (identifier) @name
    (field_identifier) @name
    (qualified_identifier name: (identifier) @name)
  ]))) @definition
(declaration declarator: (function_declarator declarator: (identifier) @name)) @definition
(preproc_def name: (identifier) @name) @definition
(preproc_function_def name: (identifier) @name) @definition
