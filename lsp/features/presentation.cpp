#include "lsp/features/presentation.h"

#include <algorithm>

namespace caretd::lsp {
namespace {

Command accepted_command(const Offer& offer) {
  return {"caretd: accepted", "caretd.accepted", Json::array({offer.suggestion})};
}

Range to_range(std::size_t begin, std::size_t end, const Document& document,
               PositionEncoding encoding) {
  return {document.text.position_at(begin, encoding), document.text.position_at(end, encoding)};
}

bool is_word_byte(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return std::isalnum(byte) != 0 || c == '_' || byte >= 0x80;
}

std::size_t word_begin(std::string_view text, std::size_t offset) {
  while (offset > 0 && is_word_byte(text[offset - 1])) --offset;
  return offset;
}

std::string first_line(std::string_view text) {
  const std::size_t begin = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  return std::string(text.substr(begin, text.find_first_of("\r\n", begin) - begin));
}

}  // namespace

PromptQuery to_query(const DocumentSnapshot& document, const InlineCompletionParams& params,
                     PositionEncoding encoding) {
  const std::size_t cursor = document->text.offset_at(params.position, encoding);
  if (!params.selected) return {document, cursor, {}, cursor};
  const std::size_t begin = document->text.offset_at(params.selected->range.start, encoding);
  const std::size_t end = document->text.offset_at(params.selected->range.end, encoding);
  return {document, std::min(begin, cursor), params.selected->text, std::max(end, cursor)};
}

InlineCompletionItem to_inline_item(const Offer& offer, const Document& document,
                                    PositionEncoding encoding) {
  return {offer.text, to_range(offer.begin, offer.end, document, encoding),
          accepted_command(offer)};
}

CompletionItem to_popup_item(const Offer& offer, const Document& document,
                             PositionEncoding encoding) {
  const std::string_view text = document.text.view();
  const std::size_t begin = word_begin(text, offer.begin);
  CompletionItem item;
  item.new_text = std::string(text.substr(begin, offer.begin - begin)) + offer.text;
  item.label = first_line(item.new_text);
  item.filter_text = item.label;
  item.documentation = item.new_text;
  item.range = to_range(begin, offer.end, document, encoding);
  item.command = accepted_command(offer);
  return item;
}

}  // namespace caretd::lsp
