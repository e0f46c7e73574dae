#include "lsp/postprocess/closers.h"

#include <algorithm>

#include "lsp/context/literals.h"
#include "lsp/syntax/growing_source.h"

namespace caretd::lsp {
namespace {

// Where the string the hole is in ends, behind its quote; npos if it goes on.
std::size_t end_of_string(std::string_view completion, char quote) {
  for (std::size_t i = 0; i < completion.size(); ++i) {
    if (completion[i] == '\\') {
      ++i;
    } else if (completion[i] == quote) {
      return i + 1;
    }
  }
  return std::string_view::npos;
}

}  // namespace

Closers match_closers(const CompletionSite& site, std::string_view completion) {
  Closers result;
  result.valid = completion.size();
  std::size_t code_begin = 0;
  if (site.extent == Extent::literal) return result;
  if (site.quote != 0) {
    code_begin = end_of_string(completion, site.quote);
    result.quote_closed = code_begin != std::string_view::npos;
    if (!result.quote_closed) return result;
  }
  GrowingSource source(*site.language, site.before, site.before_tree);
  source.append(completion);
  // What the token budget cut short within a string or comment is no code.
  const std::size_t literal = open_literal(*site.language, completion.substr(code_begin));
  std::string open = site.open_brackets;
  const std::size_t hole = site.before.size();
  for (const SourceToken& token : source.tokens_from(site.line_begin)) {
    if (token.begin < hole + code_begin) continue;
    if (token.begin - hole - code_begin >= literal) break;
    const char bracket = source.text()[token.begin];
    if (token.cls == TokenClass::opener) result.left_open.push_back(bracket);
    if (token.cls != TokenClass::closer) continue;
    const bool own = !result.left_open.empty();
    std::string& stack = own ? result.left_open : open;
    const bool matches = !stack.empty() && stack.back() == matching_bracket(bracket);
    if (!matches && ends_case_pattern(*site.language, source.text(), token.begin)) continue;
    if (!matches || (!own && result.closed == site.closable)) {
      result.valid = token.begin - hole;
      break;
    }
    stack.pop_back();
    if (!own) ++result.closed;
  }
  return result;
}

bool ends_case_pattern(const Language& language, std::string_view source, std::size_t offset) {
  if (language.id != "shellscript" || source[offset] != ')') return false;
  const std::string_view before = source.substr(0, offset);
  const std::size_t head = before.rfind("case ");
  return head != std::string_view::npos && before.find("esac", head) == std::string_view::npos;
}

std::size_t replaced_bytes(const CompletionSite& site, const Closers& closers,
                           std::string_view completion) {
  const std::string_view behind = std::string_view(site.rest).substr(0, site.replaceable);
  if (!site.literal_end.empty() && completion.ends_with(site.literal_end)) return behind.size();
  int brackets = closers.closed;
  bool quote = closers.quote_closed;
  std::size_t end = 0;
  for (std::size_t i = 0; i < behind.size(); ++i) {
    const char c = behind[i];
    if (quote && c == site.quote) {
      quote = false;
    } else if (brackets > 0 && matching_bracket(c) != 0) {
      --brackets;
    } else if (c == ';' && completion.ends_with(';')) {
      return i + 1;
    } else if (c != ' ' && c != '\t') {
      break;
    } else {
      continue;
    }
    end = i + 1;
  }
  return end;
}

}  // namespace caretd::lsp
