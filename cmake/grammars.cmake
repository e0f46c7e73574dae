# The tree-sitter core and its grammars: C sources from the npm packages that grammars/ pins,
# compiled as static libraries. caretd_grammars links them all.

set(CARETD_GRAMMARS_DIR ${CMAKE_SOURCE_DIR}/grammars)
set(CARETD_GRAMMAR_MODULES ${CARETD_GRAMMARS_DIR}/node_modules)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
             ${CARETD_GRAMMARS_DIR}/package-lock.json)

# Installs the packages unless the ones there are those of the lock file. The stamp holds the lock
# file's hash, because times say nothing after a checkout.
function(caretd_install_grammars)
  file(SHA256 ${CARETD_GRAMMARS_DIR}/package-lock.json wanted)
  set(stamp ${CARETD_GRAMMAR_MODULES}/.caretd-lock-sha256)
  if(EXISTS ${stamp})
    file(READ ${stamp} installed)
    if(installed STREQUAL wanted)
      return()
    endif()
  endif()
  find_program(CARETD_NPM npm DOC "npm, used once to fetch the tree-sitter grammars")
  if(NOT CARETD_NPM)
    message(FATAL_ERROR "The tree-sitter grammars are not installed and npm was not found. "
                        "Run ./dev install-deps, or install npm and run: npm ci --prefix grammars")
  endif()
  message(STATUS "Installing the tree-sitter grammars: npm ci in grammars/")
  execute_process(COMMAND ${CARETD_NPM} ci WORKING_DIRECTORY ${CARETD_GRAMMARS_DIR}
                  RESULT_VARIABLE status OUTPUT_QUIET ERROR_VARIABLE problem)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "npm ci in grammars/ failed; check the network and npm's registry setting, "
                        "then run it again.\n${problem}")
  endif()
  # Bindings for other runtimes are half of the bytes and never used.
  file(GLOB unused ${CARETD_GRAMMAR_MODULES}/*/prebuilds ${CARETD_GRAMMAR_MODULES}/*/*/prebuilds
       ${CARETD_GRAMMAR_MODULES}/*/*.wasm ${CARETD_GRAMMAR_MODULES}/*/*/*.wasm)
  file(REMOVE_RECURSE ${unused})
  file(WRITE ${stamp} ${wanted})
endfunction()

caretd_install_grammars()

set(core ${CARETD_GRAMMAR_MODULES}/tree-sitter/vendor/tree-sitter/lib)
add_library(caretd_tree_sitter STATIC ${core}/src/lib.c)  # includes the core's other files
target_include_directories(caretd_tree_sitter SYSTEM PUBLIC ${core}/include PRIVATE ${core}/src)
target_compile_definitions(caretd_tree_sitter PRIVATE _POSIX_C_SOURCE=200112L _DEFAULT_SOURCE)
target_compile_options(caretd_tree_sitter PRIVATE -w)

add_library(caretd_grammars INTERFACE)
target_link_libraries(caretd_grammars INTERFACE caretd_tree_sitter)

# caretd_grammar(NAME DIR): parser.c and, where there is one, scanner.c of one grammar. The tables
# gain nothing from optimisation, and sanitizing them costs minutes.
function(caretd_grammar name dir)
  set(src ${CARETD_GRAMMAR_MODULES}/${dir}/src)
  add_library(caretd_grammar_${name} STATIC ${src}/parser.c)
  if(EXISTS ${src}/scanner.c)
    target_sources(caretd_grammar_${name} PRIVATE ${src}/scanner.c)
  endif()
  # Each grammar brings its own src/tree_sitter/parser.h.
  target_include_directories(caretd_grammar_${name} PRIVATE ${src})
  target_compile_options(caretd_grammar_${name} PRIVATE -w -O1 -g0 -fno-sanitize=all)
  target_link_libraries(caretd_grammars INTERFACE caretd_grammar_${name})
endfunction()

caretd_grammar(bash tree-sitter-bash)
caretd_grammar(c tree-sitter-c)
caretd_grammar(c_sharp tree-sitter-c-sharp)
caretd_grammar(cpp tree-sitter-cpp)
caretd_grammar(css tree-sitter-css)
caretd_grammar(go tree-sitter-go)
caretd_grammar(html tree-sitter-html)
caretd_grammar(java tree-sitter-java)
caretd_grammar(javascript tree-sitter-javascript)
caretd_grammar(json tree-sitter-json)
caretd_grammar(kotlin tree-sitter-kotlin)
caretd_grammar(lua @tree-sitter-grammars/tree-sitter-lua)
caretd_grammar(php tree-sitter-php/php)
caretd_grammar(python tree-sitter-python)
caretd_grammar(ruby tree-sitter-ruby)
caretd_grammar(rust tree-sitter-rust)
caretd_grammar(scala tree-sitter-scala)
caretd_grammar(swift tree-sitter-swift)
caretd_grammar(tsx tree-sitter-typescript/tsx)
caretd_grammar(typescript tree-sitter-typescript/typescript)
caretd_grammar(yaml @tree-sitter-grammars/tree-sitter-yaml)
