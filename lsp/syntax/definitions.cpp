#include "lsp/syntax/definitions.h"

#include <algorithm>
#include <cctype>

#include "lsp/syntax/source_tokens.h"

namespace caretd::lsp {
namespace {

struct DeleteCursor {
  void operator()(TSQueryCursor* cursor) const { ts_query_cursor_delete(cursor); }
};

// A match limit bounds what the engine keeps for a file of a hundred thousand definitions.
constexpr std::uint32_t kMatchLimit = 4096;

std::string_view bytes_of(TSNode node, std::string_view source) {
  const std::size_t begin = ts_node_start_byte(node);
  return source.substr(begin, ts_node_end_byte(node) - begin);
}

bool is_identifier(std::string_view word) {
  return word.size() > 2 && std::isdigit(static_cast<unsigned char>(word[0])) == 0 &&
         std::ranges::all_of(word, is_word_character);
}

// Keywords are anonymous nodes.
bool is_keyword(const SyntaxTree* tree, const SourceToken& token) {
  if (!tree) return false;
  const TSNode node = ts_node_descendant_for_byte_range(
      tree->root(), static_cast<std::uint32_t>(token.begin), static_cast<std::uint32_t>(token.end));
  return !ts_node_is_named(node);
}

std::size_t distance(const SourceToken& token, std::size_t offset) {
  if (token.end <= offset) return offset - token.end;
  return token.begin > offset ? token.begin - offset : 0;
}

}  // namespace

struct DefinitionFinder::Query {
  struct Delete {
    void operator()(TSQuery* query) const { ts_query_delete(query); }
  };
  std::unique_ptr<TSQuery, Delete> query;
  std::uint32_t name_capture = 0;
};

DefinitionFinder::DefinitionFinder() = default;
DefinitionFinder::~DefinitionFinder() = default;

const DefinitionFinder::Query* DefinitionFinder::query_for(const Language& language) {
  if (language.definitions_query.empty() || !language.grammar) return nullptr;
  const std::lock_guard lock(mutex_);
  std::unique_ptr<Query>& entry = queries_[language.id];
  if (!entry) {
    entry = std::make_unique<Query>();
    const std::string_view source = language.definitions_query;
    std::uint32_t error_offset = 0;
    TSQueryError error = TSQueryErrorNone;
    entry->query.reset(ts_query_new(language.grammar(), source.data(),
                                    static_cast<std::uint32_t>(source.size()), &error_offset,
                                    &error));
    for (std::uint32_t i = 0; entry->query && i < ts_query_capture_count(entry->query.get()); ++i) {
      std::uint32_t length = 0;
      const char* name = ts_query_capture_name_for_id(entry->query.get(), i, &length);
      if (std::string_view(name, length) == "name") entry->name_capture = i;
    }
  }
  return entry->query ? entry.get() : nullptr;
}

std::vector<Definition> DefinitionFinder::definitions(const SyntaxTree& tree,
                                                      std::string_view source) {
  std::vector<Definition> found;
  const Query* query = query_for(tree.language());
  if (!query) return found;
  const std::unique_ptr<TSQueryCursor, DeleteCursor> cursor(ts_query_cursor_new());
  ts_query_cursor_set_match_limit(cursor.get(), kMatchLimit);
  ts_query_cursor_exec(cursor.get(), query->query.get(), tree.root());
  TSQueryMatch match;
  while (ts_query_cursor_next_match(cursor.get(), &match)) {
    Definition definition;
    for (std::uint16_t i = 0; i < match.capture_count; ++i) {
      const TSQueryCapture& capture = match.captures[i];
      if (capture.index == query->name_capture) {
        definition.name = bytes_of(capture.node, source);
      } else {
        definition.begin = ts_node_start_byte(capture.node);
        definition.end = ts_node_end_byte(capture.node);
      }
    }
    if (!definition.name.empty() && definition.end > definition.begin) {
      found.push_back(std::move(definition));
    }
  }
  std::ranges::stable_sort(found, {}, &Definition::begin);
  return found;
}

std::vector<std::string> identifiers_near(const SyntaxTree* tree, const Language& language,
                                          std::string_view source, std::size_t offset,
                                          std::size_t radius, std::size_t limit) {
  const std::size_t begin = offset - std::min(offset, radius);
  const std::size_t end = std::min(source.size(), offset + radius);
  std::vector<SourceToken> tokens = source_tokens(tree, language, source, begin, end);
  std::ranges::stable_sort(tokens, {}, [&](const SourceToken& t) { return distance(t, offset); });
  std::vector<std::string> names;
  for (const SourceToken& token : tokens) {
    if (names.size() >= limit) break;
    const std::string_view word = source.substr(token.begin, token.end - token.begin);
    if (token.cls != TokenClass::word || !is_identifier(word) || is_keyword(tree, token)) continue;
    if (std::ranges::find(names, word) == names.end()) names.emplace_back(word);
  }
  return names;
}

}  // namespace caretd::lsp
