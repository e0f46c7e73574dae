#include "lsp/features/chat/doc_comment.h"

#include <algorithm>
#include <vector>

#include "lsp/context/completion_site.h"

namespace caretd::lsp {
namespace {

constexpr std::size_t kColumns = 80;

/// How a comment of several lines is written.
struct CommentForm {
  std::string_view open;   ///< a line of its own; may be empty
  std::string_view line;   ///< in front of every line
  std::string_view close;  ///< a line of its own; may be empty
};

CommentForm form_of(const Language& language) {
  if (language.id == "rust") return {"", "/// ", ""};
  if (language.id == "go") return {"", "// ", ""};
  if (language.id == "csharp") return {"", "/// ", ""};
  if (language.comment.open == "/*") return {"/**", " * ", " */"};
  if (language.comment.line == "//") return {"/**", " * ", " */"};
  if (language.comment.line == "--") return {"", "--- ", ""};
  if (language.comment.line == "#") return {"", "# ", ""};
  return {};
}

/// The paragraphs of `prose`, wrapped; lines between them are empty.
std::vector<std::string> wrapped(std::string_view prose, std::size_t width) {
  std::vector<std::string> lines;
  std::string line;
  const auto flush = [&] {
    if (!line.empty()) lines.push_back(std::move(line));
    line.clear();
  };
  while (!prose.empty()) {
    const std::size_t end = std::min(prose.find('\n'), prose.size());
    std::string_view source = trimmed(prose.substr(0, end));
    prose.remove_prefix(std::min(prose.size(), end + 1));
    if (source.empty()) {
      flush();
      if (!lines.empty() && !lines.back().empty()) lines.emplace_back();
    }
    while (!source.empty()) {
      const std::size_t word = std::min(source.find_first_of(" \t"), source.size());
      if (!line.empty() && line.size() + 1 + word > width) flush();
      if (word > 0 && !line.empty()) line += ' ';
      line += source.substr(0, word);
      source.remove_prefix(std::min(source.size(), word + 1));
    }
  }
  flush();
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

std::string_view indent_at(const Text& text, std::size_t offset) {
  const std::string_view line = text.line(text.line_of(offset));
  return line.substr(0, std::min(line.find_first_not_of(" \t"), line.size()));
}

std::string line_end(const Text& text) {
  const std::size_t first = text.line_end(0);
  return text.view().substr(first, 2) == "\r\n" ? "\r\n" : "\n";
}

std::size_t width_behind(std::string_view indent, std::size_t prefix) {
  const std::size_t used = indent.size() + prefix;
  return used + 20 < kColumns ? kColumns - used : 20;
}

/// The doc string that a body begins with; the null node if there is none.
TSNode doc_string_of(TSNode body) {
  const TSNode first = ts_node_named_child(body, 0);
  if (ts_node_is_null(first) || std::string_view(ts_node_type(first)) != "expression_statement") {
    return ts_node_named_child(body, ts_node_named_child_count(body));
  }
  const TSNode value = ts_node_named_child(first, 0);
  const bool is_string =
      !ts_node_is_null(value) && std::string_view(ts_node_type(value)) == "string";
  return is_string ? first : ts_node_named_child(body, ts_node_named_child_count(body));
}

Result<ReplyEdit> doc_string(const EditSite& site, std::string_view prose) {
  const Text& text = site.document->text;
  const TSNode body =
      ts_node_child_by_field_name(definition_node(*site.tree, site.target), "body", 4);
  if (ts_node_is_null(body)) {
    return fail(ErrorKind::unsupported, "There is no body to document; nothing was changed.");
  }
  if (prose.find("\"\"\"") != std::string_view::npos ||
      prose.find('\\') != std::string_view::npos) {
    return fail(ErrorKind::unsupported,
                "The reply does not fit into a doc string; nothing was changed.");
  }
  const std::size_t begin = ts_node_start_byte(body);
  const std::size_t header = text.line_of(site.target.begin);
  const bool own_line = text.line_of(begin) > header;
  const std::string end = line_end(text);
  std::string indent(indent_at(text, own_line ? begin : site.target.begin));
  if (!own_line) indent += detect_indent(text, header).tabs ? "\t" : "    ";

  const std::vector<std::string> lines = wrapped(prose, width_behind(indent, 6));
  std::string written = "\"\"\"" + lines.front();
  for (std::size_t i = 1; i < lines.size(); ++i) {
    written += end + (lines[i].empty() ? "" : indent + lines[i]);
  }
  written += lines.size() > 1 ? end + indent + "\"\"\"" : "\"\"\"";
  if (const TSNode old = doc_string_of(body); !ts_node_is_null(old)) {
    return ReplyEdit{ts_node_start_byte(old), ts_node_end_byte(old), written};
  }
  if (own_line) return ReplyEdit{begin, begin, written + end + indent};
  return ReplyEdit{begin, begin, end + indent + written + end + indent};
}

}  // namespace

Result<ReplyEdit> doc_comment(const EditSite& site, std::string_view prose) {
  const Language& language = site.tree->language();
  prose = trimmed(prose);
  if (prose.empty()) {
    return fail(ErrorKind::unsupported, "The reply is empty; nothing was changed.");
  }
  if (language.id == "python") return doc_string(site, prose);
  const CommentForm form = form_of(language);
  if (form.line.empty()) {
    return fail(ErrorKind::unsupported, "caretd does not know how " + std::string(language.id) +
                                            " is documented; nothing was changed.");
  }
  if (!form.close.empty() && prose.find("*/") != std::string_view::npos) {
    return fail(ErrorKind::unsupported,
                "The reply does not fit into a comment; nothing was changed.");
  }
  const Text& text = site.document->text;
  const std::string end = line_end(text);
  const std::string indent(indent_at(text, site.target.begin));
  std::string written;
  const auto add = [&](std::string_view line) {
    const std::size_t last = line.find_last_not_of(' ');
    written += std::string(line.substr(0, last + 1)) + end + indent;
  };
  if (!form.open.empty()) add(form.open);
  for (const std::string& line : wrapped(prose, width_behind(indent, form.line.size()))) {
    add(std::string(form.line) + line);
  }
  if (!form.close.empty()) add(form.close);
  return ReplyEdit{site.target.begin, site.target.begin, written};
}

}  // namespace caretd::lsp
