// The table of languages that have a grammar. Node kinds are those of the grammars' node-types.json
// in the versions that grammars/package-lock.json pins.
#include "lsp/syntax/language.h"
#include "lsp/syntax/queries.h"  // generated from lsp/syntax/queries/*.scm

#include <array>

extern "C" {
const TSLanguage* tree_sitter_bash(void);
const TSLanguage* tree_sitter_c(void);
const TSLanguage* tree_sitter_c_sharp(void);
const TSLanguage* tree_sitter_cpp(void);
const TSLanguage* tree_sitter_css(void);
const TSLanguage* tree_sitter_go(void);
const TSLanguage* tree_sitter_html(void);
const TSLanguage* tree_sitter_java(void);
const TSLanguage* tree_sitter_javascript(void);
const TSLanguage* tree_sitter_json(void);
const TSLanguage* tree_sitter_kotlin(void);
const TSLanguage* tree_sitter_lua(void);
const TSLanguage* tree_sitter_php(void);
const TSLanguage* tree_sitter_python(void);
const TSLanguage* tree_sitter_ruby(void);
const TSLanguage* tree_sitter_rust(void);
const TSLanguage* tree_sitter_scala(void);
const TSLanguage* tree_sitter_swift(void);
const TSLanguage* tree_sitter_tsx(void);
const TSLanguage* tree_sitter_typescript(void);
const TSLanguage* tree_sitter_yaml(void);
}

namespace caretd::lsp {
namespace {

using Words = std::string_view[];

constexpr CommentSyntax kSlashes{"//", "/*", "*/"};
constexpr CommentSyntax kHash{"#", "", ""};

using LongStrings = LongString[];

constexpr LongStrings kTripleQuotes = {{R"(""")", R"(""")"}};
constexpr LongStrings kBackticks = {{"`", "`"}};
constexpr LongStrings kCSharpStrings = {{R"(""")", R"(""")"}, {R"(@")", R"(")"}};
constexpr LongStrings kCppStrings = {{"R\"(", ")\""}};
constexpr LongStrings kLuaStrings = {{"[[", "]]"}};
constexpr LongStrings kPythonStrings = {{R"(""")", R"(""")"}, {"'''", "'''"}};
constexpr LongStrings kRustStrings = {{"r#\"", "\"#"}, {R"(")", R"(")"}};

constexpr Words kBraceHeads = {"if", "else", "for", "while", "do"};

constexpr Words kBashAliases = {"bash", "sh", "zsh", "ksh", "shell"};
constexpr Words kBashFiles = {".sh", ".bash", ".zsh", ".ksh"};
constexpr Words kBashBlocks = {"program",   "compound_statement", "do_group",
                               "case_item", "if_statement",       "subshell"};
constexpr Words kBashTails = {"then", "do", "else", "in"};
constexpr Words kBashMiddles = {"then", "do", "else", "elif", "esac"};
constexpr Words kBashEnds = {"fi", "done", "esac"};

constexpr Words kCFiles = {".c", ".h"};
constexpr Words kCBlocks = {"translation_unit",       "compound_statement", "declaration_list",
                            "field_declaration_list", "enumerator_list",    "initializer_list",
                            "preproc_ifdef",          "preproc_if",         "case_statement"};

constexpr Words kCSharpAliases = {"cs", "c_sharp", "c#"};
constexpr Words kCSharpFiles = {".cs"};
constexpr Words kCSharpBlocks = {
    "compilation_unit", "block", "declaration_list", "switch_body", "enum_member_declaration_list",
    "accessor_list"};
constexpr Words kCSharpHeads = {"if", "else", "for", "foreach", "while", "do"};

constexpr Words kCppAliases = {"c++", "cuda", "cuda-cpp", "objective-cpp"};
constexpr Words kCppFiles = {".cc", ".cpp", ".cxx", ".hh", ".hpp", ".hxx", ".cu", ".cuh", ".ipp"};

constexpr Words kCssFiles = {".css"};
constexpr Words kCssBlocks = {"stylesheet", "block", "keyframe_block_list"};

constexpr Words kGoAliases = {"golang"};
constexpr Words kGoFiles = {".go"};
constexpr Words kGoBlocks = {"source_file",      "block",
                             "statement_list",   "field_declaration_list",
                             "import_spec_list", "literal_value"};

constexpr Words kHtmlAliases = {"htm", "xhtml"};
constexpr Words kHtmlFiles = {".html", ".htm", ".xhtml"};
constexpr Words kHtmlBlocks = {"document", "element"};

constexpr Words kJavaFiles = {".java"};
constexpr Words kJavaBlocks = {
    "program",          "block",        "class_body",          "interface_body", "enum_body",
    "constructor_body", "switch_block", "annotation_type_body"};

constexpr Words kJavaScriptAliases = {"javascriptreact", "js", "jsx", "javascript.jsx"};
constexpr Words kJavaScriptFiles = {".js", ".jsx", ".mjs", ".cjs"};
constexpr Words kJavaScriptBlocks = {"program",     "statement_block",    "class_body",
                                     "switch_body", "class_static_block", "object",
                                     "array"};

constexpr Words kJsonAliases = {"jsonc", "json5", "jsonl"};
constexpr Words kJsonFiles = {".json", ".jsonc", ".json5", ".webmanifest"};
constexpr Words kJsonBlocks = {"document", "object", "array"};

constexpr Words kKotlinFiles = {".kt", ".kts"};
constexpr Words kKotlinBlocks = {"source_file",     "statements",    "class_body",
                                 "enum_class_body", "function_body", "control_structure_body"};

constexpr Words kLuaFiles = {".lua"};
constexpr Words kLuaBlocks = {"chunk", "block"};
constexpr Words kLuaHeads = {"function", "if", "for", "while", "repeat"};
constexpr Words kLuaWords = {"function"};
constexpr Words kLuaTails = {"then", "do", "else", "repeat"};
constexpr Words kLuaMiddles = {"else", "elseif"};
constexpr Words kLuaEnds = {"end", "until"};

constexpr Words kPhpFiles = {".php", ".phtml"};
constexpr Words kPhpBlocks = {"program",      "compound_statement", "declaration_list",
                              "switch_block", "match_block",        "enum_declaration_list",
                              "colon_block"};
constexpr Words kPhpHeads = {"if", "else", "elseif", "for", "foreach", "while", "do"};

constexpr Words kPythonAliases = {"py", "python3", "cython", "starlark"};
constexpr Words kPythonFiles = {".py", ".pyi", ".pyw", ".bzl"};
constexpr Words kPythonBlocks = {"module", "block"};
constexpr Words kPythonTails = {":"};
constexpr Words kPythonMiddles = {"else", "elif", "except", "finally"};

constexpr Words kRubyAliases = {"rb"};
constexpr Words kRubyFiles = {".rb", ".rake", ".gemspec", ".ru"};
constexpr Words kRubyBlocks = {"program", "body_statement", "block_body", "then", "else",
                               "do",      "do_block",       "begin"};
constexpr Words kRubyHeads = {"def",   "class", "module", "if",   "unless",
                              "while", "until", "for",    "case", "begin"};
constexpr Words kRubyWords = {"def"};
constexpr Words kRubyTails = {"do", "then", "else", "begin", "|"};
constexpr Words kRubyMiddles = {"else", "elsif", "when", "in", "rescue", "ensure"};
constexpr Words kRubyEnds = {"end"};

constexpr Words kRustAliases = {"rs"};
constexpr Words kRustFiles = {".rs"};
constexpr Words kRustBlocks = {"source_file",
                               "block",
                               "declaration_list",
                               "match_block",
                               "field_declaration_list",
                               "enum_variant_list",
                               "field_initializer_list"};

constexpr Words kScalaFiles = {".scala", ".sc", ".sbt"};
constexpr Words kScalaBlocks = {"compilation_unit", "block",          "template_body",
                                "case_block",       "indented_block", "enum_body"};
constexpr Words kScalaMiddles = {"else", "catch", "finally"};
constexpr Words kScalaTails = {":", "=", "then", "do", "else"};

constexpr Words kSwiftFiles = {".swift"};
constexpr Words kSwiftBlocks = {"source_file",     "statements",    "class_body",
                                "enum_class_body", "protocol_body", "function_body"};

constexpr Words kTsxAliases = {"tsx", "typescript.tsx"};
constexpr Words kTsxFiles = {".tsx"};
constexpr Words kTypeScriptAliases = {"ts"};
constexpr Words kTypeScriptFiles = {".ts", ".mts", ".cts"};
constexpr Words kTypeScriptBlocks = {
    "program",        "statement_block", "class_body",  "switch_body", "class_static_block",
    "interface_body", "enum_body",       "object_type", "object",      "array"};

constexpr Words kYamlAliases = {"yml", "dockercompose", "github-actions-workflow", "ansible",
                                "helm"};
constexpr Words kYamlFiles = {".yaml", ".yml"};
constexpr Words kYamlBlocks = {"stream", "document", "block_mapping", "block_sequence"};
constexpr Words kYamlTails = {":", "-", "|", ">"};

constexpr auto kGrammarLanguages = std::to_array<Language>({
    {.id = "shellscript",
     .aliases = kBashAliases,
     .extensions = kBashFiles,
     .grammar = tree_sitter_bash,
     .comment = kHash,
     .blocks = BlockStyle::keywords,
     .block_kinds = kBashBlocks,
     .block_tails = kBashTails,
     .block_middles = kBashMiddles,
     .block_ends = kBashEnds,
     .definitions_query = queries::kBash},
    {.id = "c",
     .extensions = kCFiles,
     .grammar = tree_sitter_c,
     .comment = kSlashes,
     .blocks = BlockStyle::brackets,
     .statements_end_at_semicolon = true,
     .needs_semicolons = true,
     .block_kinds = kCBlocks,
     .block_heads = kBraceHeads,
     .definitions_query = queries::kC},
    {.id = "csharp",
     .aliases = kCSharpAliases,
     .extensions = kCSharpFiles,
     .grammar = tree_sitter_c_sharp,
     .comment = kSlashes,
     .long_strings = kCSharpStrings,
     .blocks = BlockStyle::brackets,
     .statements_end_at_semicolon = true,
     .needs_semicolons = true,
     .block_kinds = kCSharpBlocks,
     .block_heads = kCSharpHeads,
     .definitions_query = queries::kCSharp},
    {.id = "cpp",
     .aliases = kCppAliases,
     .extensions = kCppFiles,
     .grammar = tree_sitter_cpp,
     .comment = kSlashes,
     .long_strings = kCppStrings,
     .blocks = BlockStyle::brackets,
     .statements_end_at_semicolon = true,
     .needs_semicolons = true,
     .block_kinds = kCBlocks,
     .block_heads = kBraceHeads,
     .definitions_query = queries::kCpp},
    {.id = "css",
     .extensions = kCssFiles,
     .grammar = tree_sitter_css,
     .comment = {"", "/*", "*/"},
     .blocks = BlockStyle::brackets,
     .statements_end_at_semicolon = true,
     .block_kinds = kCssBlocks},
    {.id = "go",
     .aliases = kGoAliases,
     .extensions = kGoFiles,
     .grammar = tree_sitter_go,
     .comment = kSlashes,
     .long_strings = kBackticks,
     .blocks = BlockStyle::brackets,
     .block_kinds = kGoBlocks,
     .definitions_query = queries::kGo},
    {.id = "html",
     .aliases = kHtmlAliases,
     .extensions = kHtmlFiles,
     .grammar = tree_sitter_html,
     .comment = {"", "<!--", "-->"},
     .blocks = BlockStyle::markup,
     .block_kinds = kHtmlBlocks},
    {.id = "java",
     .extensions = kJavaFiles,
     .grammar = tree_sitter_java,
     .comment = kSlashes,
     .long_strings = kTripleQuotes,
     .blocks = BlockStyle::brackets,
     .statements_end_at_semicolon = true,
     .needs_semicolons = true,
     .block_kinds = kJavaBlocks,
     .block_heads = kBraceHeads,
     .definitions_query = queries::kJava},
    {.id = "javascript",
     .aliases = kJavaScriptAliases,
     .extensions = kJavaScriptFiles,
     .grammar = tree_sitter_javascript,
     .comment = kSlashes,
     .long_strings = kBackticks,
     .blocks = BlockStyle::brackets,
     .statements_end_at_semicolon = true,
     .block_kinds = kJavaScriptBlocks,
     .block_heads = kBraceHeads,
     .definitions_query = queries::kJavascript},
    {.id = "json",
     .aliases = kJsonAliases,
     .extensions = kJsonFiles,
     .grammar = tree_sitter_json,
     .blocks = BlockStyle::brackets,
     .block_kinds = kJsonBlocks},
    {.id = "kotlin",
     .extensions = kKotlinFiles,
     .grammar = tree_sitter_kotlin,
     .comment = kSlashes,
     .long_strings = kTripleQuotes,
     .blocks = BlockStyle::brackets,
     .block_kinds = kKotlinBlocks,
     .block_heads = kBraceHeads,
     .definitions_query = queries::kKotlin},
    {.id = "lua",
     .extensions = kLuaFiles,
     .grammar = tree_sitter_lua,
     .comment = {"--", "--[[", "]]"},
     .long_strings = kLuaStrings,
     .blocks = BlockStyle::keywords,
     .block_kinds = kLuaBlocks,
     .block_heads = kLuaHeads,
     .block_words = kLuaWords,
     .block_tails = kLuaTails,
     .block_middles = kLuaMiddles,
     .block_ends = kLuaEnds,
     .definitions_query = queries::kLua},
    {.id = "php",
     .extensions = kPhpFiles,
     .grammar = tree_sitter_php,
     .comment = kSlashes,
     .blocks = BlockStyle::brackets,
     .statements_end_at_semicolon = true,
     .block_kinds = kPhpBlocks,
     .block_heads = kPhpHeads,
     .code_tag = "<?php\n",
     .definitions_query = queries::kPhp},
    {.id = "python",
     .aliases = kPythonAliases,
     .extensions = kPythonFiles,
     .grammar = tree_sitter_python,
     .comment = kHash,
     .long_strings = kPythonStrings,
     .blocks = BlockStyle::indentation,
     .block_kinds = kPythonBlocks,
     .block_tails = kPythonTails,
     .block_middles = kPythonMiddles,
     .definitions_query = queries::kPython},
    {.id = "ruby",
     .aliases = kRubyAliases,
     .extensions = kRubyFiles,
     .grammar = tree_sitter_ruby,
     .comment = kHash,
     .blocks = BlockStyle::keywords,
     .block_kinds = kRubyBlocks,
     .block_heads = kRubyHeads,
     .block_words = kRubyWords,
     .block_tails = kRubyTails,
     .block_middles = kRubyMiddles,
     .block_ends = kRubyEnds,
     .definitions_query = queries::kRuby},
    {.id = "rust",
     .aliases = kRustAliases,
     .extensions = kRustFiles,
     .grammar = tree_sitter_rust,
     .comment = kSlashes,
     .long_strings = kRustStrings,
     .blocks = BlockStyle::brackets,
     .statements_end_at_semicolon = true,
     .needs_semicolons = true,
     .block_kinds = kRustBlocks,
     .definitions_query = queries::kRust},
    {.id = "scala",
     .extensions = kScalaFiles,
     .grammar = tree_sitter_scala,
     .comment = kSlashes,
     .long_strings = kTripleQuotes,
     .blocks = BlockStyle::brackets,
     .block_kinds = kScalaBlocks,
     .block_heads = kBraceHeads,
     .block_tails = kScalaTails,
     .block_middles = kScalaMiddles,
     .definitions_query = queries::kScala},
    {.id = "swift",
     .extensions = kSwiftFiles,
     .grammar = tree_sitter_swift,
     .comment = kSlashes,
     .long_strings = kTripleQuotes,
     .blocks = BlockStyle::brackets,
     .block_kinds = kSwiftBlocks,
     .definitions_query = queries::kSwift},
    {.id = "typescriptreact",
     .aliases = kTsxAliases,
     .extensions = kTsxFiles,
     .grammar = tree_sitter_tsx,
     .comment = kSlashes,
     .long_strings = kBackticks,
     .blocks = BlockStyle::brackets,
     .statements_end_at_semicolon = true,
     .block_kinds = kTypeScriptBlocks,
     .block_heads = kBraceHeads,
     .definitions_query = queries::kTypescript},
    {.id = "typescript",
     .aliases = kTypeScriptAliases,
     .extensions = kTypeScriptFiles,
     .grammar = tree_sitter_typescript,
     .comment = kSlashes,
     .long_strings = kBackticks,
     .blocks = BlockStyle::brackets,
     .statements_end_at_semicolon = true,
     .block_kinds = kTypeScriptBlocks,
     .block_heads = kBraceHeads,
     .definitions_query = queries::kTypescript},
    {.id = "yaml",
     .aliases = kYamlAliases,
     .extensions = kYamlFiles,
     .grammar = tree_sitter_yaml,
     .comment = kHash,
     .blocks = BlockStyle::indentation,
     .block_kinds = kYamlBlocks,
     .block_tails = kYamlTails},
});

}  // namespace

std::span<const Language> grammar_languages() {
  return kGrammarLanguages;
}

}  // namespace caretd::lsp
