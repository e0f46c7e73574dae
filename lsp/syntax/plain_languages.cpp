// Languages without a grammar: their comment syntax alone, for the path header of a prompt. The ids
// are the protocol's and those that editors use; what is not listed has no header.
#include <array>

#include "lsp/syntax/language.h"

namespace caretd::lsp {
namespace {

constexpr std::string_view kHashIds[] = {
    "perl",         "perl6",         "raku",       "r",          "julia",
    "makefile",     "make",          "dockerfile", "cmake",      "toml",
    "elixir",       "nim",           "crystal",    "powershell", "ps1",
    "coffeescript", "tcl",           "awk",        "fish",       "nix",
    "graphql",      "properties",    "ignore",     "git-commit", "gitcommit",
    "git-rebase",   "terraform",     "hcl",        "gdscript",   "meson",
    "snakemake",    "puppet",        "octave",     "desktop",    "jq",
    "just",         "starlark-build"};
constexpr std::string_view kSlashIds[] = {
    "objective-c",   "objc",        "dart", "groovy",   "fsharp",  "proto",
    "proto3",        "protobuf",    "zig",  "d",        "v",       "vala",
    "solidity",      "scss",        "sass", "less",     "stylus",  "verilog",
    "systemverilog", "glsl",        "hlsl", "wgsl",     "metal",   "shaderlab",
    "gleam",         "haxe",        "odin", "rescript", "jsonnet", "thrift",
    "svelte-script", "bicep",       "cue",  "apex",     "move",    "pug",
    "jade",          "actionscript"};
constexpr std::string_view kDashIds[] = {"haskell", "sql",         "plsql", "elm",      "ada",
                                         "vhdl",    "purescript",  "lean",  "lean4",    "agda",
                                         "idris",   "applescript", "mysql", "postgres", "dhall"};
constexpr std::string_view kSemicolonIds[] = {
    "clojure", "lisp", "commonlisp", "scheme", "racket",     "elisp", "emacs-lisp",
    "asm",     "nasm", "ini",        "fennel", "autohotkey", "llvm",  "reg"};
constexpr std::string_view kPercentIds[] = {"latex",  "tex",    "bibtex",     "erlang",
                                            "prolog", "matlab", "postscript", "plaintex"};
constexpr std::string_view kMarkupIds[] = {"markdown", "xml",   "xsl",        "svg",   "vue",
                                           "svelte",   "astro", "handlebars", "razor", "mdx"};
constexpr std::string_view kParenthesisIds[] = {"ocaml", "coq", "sml", "mathematica"};
constexpr std::string_view kFortranIds[] = {"fortran", "fortran-modern", "fortran_free-form"};
constexpr std::string_view kBasicIds[] = {"vb", "vbnet", "vbscript", "basic"};
constexpr std::string_view kVimIds[] = {"vim", "viml"};
constexpr std::string_view kBatchIds[] = {"bat", "dosbatch"};
constexpr std::string_view kPascalIds[] = {"pascal", "delphi", "objectpascal"};

constexpr std::string_view kHashFiles[] = {".pl",   ".pm", ".r",   ".jl",      ".mk",   ".cmake",
                                           ".toml", ".ex", ".exs", ".nim",     ".cr",   ".ps1",
                                           ".tcl",  ".tf", ".nix", ".graphql", ".fish", ".awk"};
constexpr std::string_view kSlashFiles[] = {
    ".m",    ".dart", ".groovy", ".gradle", ".fs", ".proto", ".zig",  ".d",   ".sol",
    ".scss", ".sass", ".less",   ".v",      ".sv", ".glsl",  ".hlsl", ".wgsl"};
constexpr std::string_view kDashFiles[] = {".hs", ".sql", ".elm", ".adb", ".ads", ".vhd", ".lean"};
constexpr std::string_view kSemicolonFiles[] = {".clj", ".cljs", ".lisp", ".el",
                                                ".scm", ".rkt",  ".asm",  ".ini"};
constexpr std::string_view kPercentFiles[] = {".tex", ".bib", ".erl", ".hrl"};
constexpr std::string_view kMarkupFiles[] = {".md", ".xml", ".svg", ".vue", ".svelte", ".astro"};
constexpr std::string_view kParenthesisFiles[] = {".ml", ".mli"};
constexpr std::string_view kFortranFiles[] = {".f90", ".f95", ".f03", ".f08"};

constexpr auto kPlainLanguages = std::to_array<Language>({
    {.id = "perl-like", .aliases = kHashIds, .extensions = kHashFiles, .comment = {"#", "", ""}},
    {.id = "c-like",
     .aliases = kSlashIds,
     .extensions = kSlashFiles,
     .comment = {"//", "/*", "*/"}},
    {.id = "haskell-like",
     .aliases = kDashIds,
     .extensions = kDashFiles,
     .comment = {"--", "", ""}},
    {.id = "lisp-like",
     .aliases = kSemicolonIds,
     .extensions = kSemicolonFiles,
     .comment = {";", "", ""}},
    {.id = "tex-like",
     .aliases = kPercentIds,
     .extensions = kPercentFiles,
     .comment = {"%", "", ""}},
    {.id = "xml-like",
     .aliases = kMarkupIds,
     .extensions = kMarkupFiles,
     .comment = {"", "<!--", "-->"}},
    {.id = "ml-like",
     .aliases = kParenthesisIds,
     .extensions = kParenthesisFiles,
     .comment = {"", "(*", "*)"}},
    {.id = "fortran-like",
     .aliases = kFortranIds,
     .extensions = kFortranFiles,
     .comment = {"!", "", ""}},
    {.id = "basic-like", .aliases = kBasicIds, .comment = {"'", "", ""}},
    {.id = "vim-like", .aliases = kVimIds, .comment = {"\"", "", ""}},
    {.id = "batch-like", .aliases = kBatchIds, .comment = {"REM", "", ""}},
    {.id = "pascal-like", .aliases = kPascalIds, .comment = {"//", "{", "}"}},
});

}  // namespace

std::span<const Language> plain_languages() {
  return kPlainLanguages;
}

}  // namespace caretd::lsp
