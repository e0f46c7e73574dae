// Takes a Jinja template apart into its tags, without running anything.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace caretd::engine {

/// One tag: {{ output }} or {% statement %}. In `code`, spaces outside of strings are gone and
/// strings are in single quotes with escapes undone, so that spelling does not matter.
struct JinjaTag {
  bool output = false;
  std::string code;
};

/// All tags in order. Nothing if the template is malformed or writes text outside of tags (white
/// space that the tags trim is none; block tags trim as transformers sets it up: trim_blocks).
[[nodiscard]] std::optional<std::vector<JinjaTag>> jinja_tags(std::string_view text);

/// A string literal at the start of `code`: its content and its length with the quotes.
struct JinjaString {
  std::string content;
  std::size_t length = 0;
};
[[nodiscard]] std::optional<JinjaString> jinja_string(std::string_view code);

}  // namespace caretd::engine
