#include "engine/text/jinja_tags.h"

#include <algorithm>
#include <cctype>

namespace caretd::engine {
namespace {

bool is_space(char c) {
  return std::isspace(static_cast<unsigned char>(c)) != 0;
}

std::optional<char> unescaped(char letter) {
  switch (letter) {
    case 'n':
      return '\n';
    case 't':
      return '\t';
    case 'r':
      return '\r';
    case '\\':
    case '\'':
    case '"':
      return letter;
    default:
      return {};
  }
}

std::string in_quotes(std::string_view content) {
  std::string code = "'";
  for (const char c : content) {
    if (c == '\\' || c == '\'') code.push_back('\\');
    code.push_back(c);
  }
  return code + "'";
}

/// What the trimming of a tag's neighbours depends on.
struct Edge {
  bool trims = false;      ///< the tag has a minus at this edge
  bool statement = false;  ///< the tag is {% %} or {# #}
};

/// True if nothing of `text`, which stands between two tags, is meant to be written. Spaces that
/// indent a statement after another one are a slip of published templates and not text either.
bool writes_nothing(std::string_view text, Edge before, Edge after) {
  if (!std::all_of(text.begin(), text.end(), is_space)) return false;
  if (before.trims || after.trims) return true;
  if (before.statement && text.starts_with('\n')) text.remove_prefix(1);  // trim_blocks
  return text.empty() ||
         (before.statement && after.statement && text.find('\n') == std::string_view::npos);
}

/// Walks a template tag by tag.
class TagReader {
 public:
  explicit TagReader(std::string_view text) : rest_(text) {}

  std::optional<std::vector<JinjaTag>> read() {
    while (true) {
      const std::size_t open = find_opening();
      if (open == std::string_view::npos) break;
      const char kind = rest_[open + 1];
      const Edge after{rest_.substr(open + 2).starts_with('-'), kind != '{'};
      if (!writes_nothing(rest_.substr(0, open), before_, after)) return {};
      rest_.remove_prefix(open + 2 + (after.trims ? 1 : 0));
      if (!(kind == '#' ? skip_comment() : read_tag(kind == '{'))) return {};
    }
    if (rest_.ends_with('\n')) rest_.remove_suffix(1);  // as Jinja does at the end of a template
    if (!writes_nothing(rest_, before_, {})) return {};
    return std::move(tags_);
  }

 private:
  [[nodiscard]] std::size_t find_opening() const {
    for (std::size_t at = rest_.find('{'); at != std::string_view::npos;
         at = rest_.find('{', at + 1)) {
      const char next = at + 1 < rest_.size() ? rest_[at + 1] : ' ';
      if (next == '{' || next == '%' || next == '#') return at;
    }
    return std::string_view::npos;
  }

  bool skip_comment() {
    const std::size_t close = rest_.find("#}");
    if (close == std::string_view::npos) return false;
    before_ = {close > 0 && rest_[close - 1] == '-', true};
    rest_.remove_prefix(close + 2);
    return true;
  }

  bool read_tag(bool output) {
    const std::string_view closing = output ? "}}" : "%}";
    std::string code;
    while (!rest_.starts_with(closing)) {
      if (rest_.empty()) return false;
      if (rest_.front() == '\'' || rest_.front() == '"') {
        const auto string = jinja_string(rest_);
        if (!string) return false;
        code += in_quotes(string->content);
        rest_.remove_prefix(string->length);
      } else {
        if (!is_space(rest_.front())) code.push_back(rest_.front());
        rest_.remove_prefix(1);
      }
    }
    rest_.remove_prefix(closing.size());
    before_ = {code.ends_with('-'), !output};
    if (before_.trims) code.pop_back();
    tags_.push_back({output, std::move(code)});
    return true;
  }

  std::string_view rest_;
  Edge before_;
  std::vector<JinjaTag> tags_;
};

}  // namespace

std::optional<JinjaString> jinja_string(std::string_view code) {
  if (code.empty() || (code.front() != '\'' && code.front() != '"')) return {};
  JinjaString string;
  for (std::size_t at = 1; at < code.size(); ++at) {
    if (code[at] == code.front()) {
      string.length = at + 1;
      return string;
    }
    if (code[at] != '\\') {
      string.content.push_back(code[at]);
      continue;
    }
    const auto c = at + 1 < code.size() ? unescaped(code[at + 1]) : std::nullopt;
    if (!c) return {};
    string.content.push_back(*c);
    ++at;
  }
  return {};
}

std::optional<std::vector<JinjaTag>> jinja_tags(std::string_view text) {
  return TagReader(text).read();
}

}  // namespace caretd::engine
