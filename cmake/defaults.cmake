# Compiler settings shared by every target.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib/caretd)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

find_program(CARETD_CCACHE ccache)
if(CARETD_CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${CARETD_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CARETD_CCACHE})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CARETD_CCACHE})
endif()

# Our own code compiles without a warning; the flags are a target so that third-party sources
# (the tree-sitter grammars) stay outside of them.
add_library(caretd_warnings INTERFACE)
target_compile_options(caretd_warnings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wshadow
    -Wnon-virtual-dtor -Woverloaded-virtual -Werror
    # Designated initialisers leave the other members at their defaults on purpose.
    -Wno-missing-field-initializers>
  # GCC 12 sees overlaps in strings that are put together (GCC PR 105651).
  $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-restrict>)

if(CARETD_SANITIZE)
  add_compile_options($<$<NOT:$<COMPILE_LANGUAGE:CUDA>>:-fsanitize=${CARETD_SANITIZE}>
                      $<$<NOT:$<COMPILE_LANGUAGE:CUDA>>:-fno-omit-frame-pointer>)
  add_link_options(-fsanitize=${CARETD_SANITIZE})
endif()

# caretd_room(NAME DEPENDS...): one room of the house as a static library. Rooms include each
# other from the repository root ("engine/engine.h"); which room may include which is checked by
# tests/house/includes_test.py.
function(caretd_room name)
  add_library(caretd_${name} STATIC)
  target_include_directories(caretd_${name} PUBLIC ${CMAKE_SOURCE_DIR})
  target_link_libraries(caretd_${name} PUBLIC ${ARGN} PRIVATE caretd_warnings)
  caretd_compile_in_batches(caretd_${name} 8)
endfunction()

# The headers of the libraries are most of what a file takes to compile: where CARETD_UNITY asks for
# it they are read, and instrumented, once for SIZE files of a target.
function(caretd_compile_in_batches target size)
  if(CARETD_UNITY)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE ${size})
  endif()
endfunction()

# Optimising is most of the time that a file takes to compile, instrumented code three times as
# much. caretd_light(TARGET): code that wires things together and gains nothing from it.
function(caretd_light target)
  caretd_unoptimised_under_sanitizers(${target})
  if(NOT CARETD_SANITIZE)
    target_compile_options(${target} PRIVATE $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CONFIG:Release>>:-O1>)
  endif()
endfunction()

# Rooms that compute little by themselves; the kernels stay optimised under sanitizers.
function(caretd_unoptimised_under_sanitizers target)
  if(CARETD_SANITIZE)
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-O0>)
  endif()
endfunction()
