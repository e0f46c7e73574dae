#include "lsp/features/chat/reply_edit.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "lsp/context/completion_site.h"
#include "lsp/features/chat/doc_comment.h"
#include "lsp/features/chat/reply_markdown.h"

namespace caretd::lsp {
namespace {

constexpr int kTabColumns = 4;

tl::unexpected<Error> unusable(const std::string& why) {
  return fail(ErrorKind::unsupported, why + "; nothing was changed.");
}

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.push_back(line);
    text.remove_prefix(std::min(text.size(), end + 1));
  }
  return lines;
}

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t") == std::string_view::npos;
}

bool is_all_space(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

std::string_view indent_of(std::string_view line) {
  return line.substr(0, std::min(line.find_first_not_of(" \t"), line.size()));
}

/// Columns of one level in the code: the greatest common divisor of what its lines are indented by.
int level_of(const std::vector<std::string_view>& lines, int base) {
  int level = 0;
  for (const std::string_view line : lines) {
    if (!is_blank(line)) level = std::gcd(level, indent_columns(line, kTabColumns) - base);
  }
  return level == 2 || level == 3 || level == 8 ? level : kTabColumns;
}

std::string indent_in(const IndentStyle& style, int columns, int level) {
  const int levels = columns / level;
  const auto rest = static_cast<std::size_t>(columns % level);
  const std::string step =
      style.tabs ? "\t" : std::string(static_cast<std::size_t>(style.width), ' ');
  std::string indent;
  for (int i = 0; i < levels; ++i) indent += step;
  return indent + std::string(rest, ' ');
}

/// What `indent` has beyond that of the first line, as it is.
std::string behind(std::string_view indent, std::string_view first) {
  return std::string(indent.starts_with(first) ? indent.substr(first.size()) : "");
}

bool same_language(const std::string& named, const Language& language) {
  return named == language.id || find_language(named).id == language.id ||
         find_language("", "a." + named).id == language.id;
}

int count_errors(TSNode node) {
  if (!ts_node_has_error(node)) return 0;
  int errors = ts_node_is_error(node) || ts_node_is_missing(node) ? 1 : 0;
  for (std::uint32_t i = 0; i < ts_node_child_count(node); ++i) {
    errors += count_errors(ts_node_child(node, i));
  }
  return errors;
}

std::string applied(const Document& document, const ReplyEdit& edit) {
  const std::string_view source = document.text.view();
  return std::string(source.substr(0, edit.begin)) + edit.text +
         std::string(source.substr(edit.end));
}

/// The lines of `text`, each with its terminator.
std::vector<std::string_view> whole_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
    lines.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return lines;
}

/// Lines at either end that stay as they are belong to no edit.
ReplyEdit without_common_lines(std::string_view source, const ReplyEdit& edit) {
  const auto before = whole_lines(source.substr(edit.begin, edit.end - edit.begin));
  const auto after = whole_lines(edit.text);
  const std::size_t most = std::min(before.size(), after.size());
  ReplyEdit least = edit;
  std::size_t first = 0;
  for (; first < most && before[first] == after[first]; ++first)
    least.begin += before[first].size();
  std::size_t text_end = edit.text.size();
  for (std::size_t last = 1; first + last <= most; ++last) {
    const std::string_view line = before[before.size() - last];
    if (line != after[after.size() - last]) break;
    least.end -= line.size();
    text_end -= line.size();
  }
  const std::size_t text_begin = least.begin - edit.begin;
  least.text = edit.text.substr(text_begin, text_end - text_begin);
  return least;
}

/// A file that parsed before has to parse afterwards.
Result<ReplyEdit> checked(const EditSite& site, ReplyEdit edit, const Clock& clock) {
  const std::string_view source = site.document->text.view();
  if (source.substr(edit.begin, edit.end - edit.begin) == edit.text) {
    return unusable("The reply's code is what is there already");
  }
  const std::string text = applied(*site.document, edit);
  const SyntaxTreePtr tree = parse(site.tree->language(), text, {}, clock);
  if (tree && count_errors(tree->root()) > count_errors(site.tree->root())) {
    return unusable("The reply's code has syntax errors");
  }
  return without_common_lines(source, edit);
}

std::vector<Definition> definitions_in(const std::string& code, const Language& language,
                                       const Clock& clock) {
  const SyntaxTreePtr tree = parse(language, code, {}, clock);
  if (!tree) return {};
  return DefinitionFinder().definitions(*tree, code);
}

bool is_function_or_type(const CodeTarget& target) {
  return target.shape == CodeTarget::Shape::function || target.shape == CodeTarget::Shape::type;
}

}  // namespace

Result<std::string> usable_code(std::string_view reply, const Language& language, bool complete) {
  const std::vector<CodeBlock> blocks = fenced_code(reply);
  if (blocks.empty()) {
    return unusable(is_all_space(reply) ? "The reply is empty" : "The reply contains no code");
  }
  std::string others;
  for (const CodeBlock& block : blocks) {
    if (!block.language.empty() && !same_language(block.language, language)) {
      others = block.language;
    } else if (!block.closed) {
      return unusable(complete ? "The reply's code block is not finished"
                               : "The reply was cut off in the middle of its code");
    } else if (!is_all_space(block.code)) {
      return block.code;
    }
  }
  if (others.empty()) return unusable("The reply's code block is empty");
  return unusable("The reply's code is " + others + ", not " + std::string(language.id));
}

std::string fitted_code(std::string_view code, const Text& text, std::size_t offset) {
  std::vector<std::string_view> lines = split_lines(code);
  while (!lines.empty() && is_blank(lines.back())) lines.pop_back();
  while (!lines.empty() && is_blank(lines.front())) lines.erase(lines.begin());
  const std::size_t at = text.line_of(offset);
  const std::string base(indent_of(text.line(at)));
  const IndentStyle style = detect_indent(text, at);
  const bool crlf = text.view().substr(text.line_end(at), 2) == "\r\n" ||
                    text.view().substr(text.line_end(0), 2) == "\r\n";
  const std::string_view first = lines.empty() ? std::string_view() : indent_of(lines.front());
  const int columns = indent_columns(first, kTabColumns);
  const int level = level_of(lines, columns);
  std::string fitted;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::string_view line = lines[i];
    if (i > 0) fitted += crlf ? "\r\n" : "\n";
    if (is_blank(line)) continue;
    const std::string_view indent = indent_of(line);
    const int own = std::max(0, indent_columns(line, kTabColumns) - columns);
    if (i > 0)
      fitted += base + (style.known ? indent_in(style, own, level) : behind(indent, first));
    fitted += line.substr(indent.size());
  }
  return fitted;
}

Result<ReplyEdit> replacement(const EditSite& site, std::string_view reply, bool complete,
                              const Clock& clock) {
  const auto code = usable_code(reply, site.tree->language(), complete);
  if (!code) return tl::unexpected(code.error());
  const CodeTarget& target = site.target;
  auto edit = checked(
      site, {target.begin, target.end, fitted_code(*code, site.document->text, target.begin)},
      clock);
  const bool lost = edit && is_function_or_type(target) &&
                    definitions_in(*code, site.tree->language(), clock).empty();
  if (lost) return unusable("The reply's code does not define what it would replace");
  return edit;
}

Result<std::string> test_code(std::string_view reply, const Language& language, bool complete,
                              const Clock& clock) {
  auto code = usable_code(reply, language, complete);
  if (!code) return code;
  const SyntaxTreePtr tree = parse(language, *code, {}, clock);
  if (tree && ts_node_has_error(tree->root())) {
    return unusable("The reply's code has syntax errors");
  }
  return code;
}

Result<ReplyEdit> documentation(const EditSite& site, std::string_view reply, bool complete,
                                const Clock& clock) {
  if (fenced_code(reply).empty()) {
    if (!complete) return unusable("The reply was cut off");
    auto edit = doc_comment(site, reply);
    if (!edit) return edit;
    return checked(site, *std::move(edit), clock);
  }
  const auto code = usable_code(reply, site.tree->language(), complete);
  if (!code) return tl::unexpected(code.error());
  const auto defined = definitions_in(*code, site.tree->language(), clock);
  if (std::ranges::find(defined, site.target.name, &Definition::name) == defined.end()) {
    return unusable("The reply's code does not define " + site.target.name);
  }
  return replacement(site, reply, complete, clock);
}

}  // namespace caretd::lsp
