#include "engine/text/tokenizer.h"

#include <algorithm>
#include <array>
#include <utility>

#include "engine/text/added_tokens.h"
#include "engine/text/byte_escape.h"
#include "engine/text/byte_index.h"
#include "engine/text/byte_pair_encoder.h"
#include "engine/text/pre_tokenizer.h"
#include "engine/text/tokenizer_file.h"
#include "engine/text/utf8.h"

namespace caretd::engine {
namespace {

constexpr std::size_t kControlTokens = 7;

/// How DeepSeek's files spell the control tokens (U+FF5C and U+2581, not ASCII).
constexpr std::array<std::string_view, kControlTokens> kControlTexts = {
    "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜fim▁begin｜>",
    "<｜fim▁hole｜>",          "<｜fim▁end｜>",         "<｜User｜>",
    "<｜Assistant｜>"};

std::size_t index_of(ControlToken token) {
  return static_cast<std::size_t>(token);
}

}  // namespace

struct Tokenizer::Impl {
  Impl(TokenizerFile loaded, TokenizerConfig loaded_config, BytePairEncoder loaded_encoder,
       PreTokenizer loaded_pre_tokenizer, AddedTokens loaded_added)
      : file(std::move(loaded)),
        config(std::move(loaded_config)),
        encoder(std::move(loaded_encoder)),
        pre_tokenizer(std::move(loaded_pre_tokenizer)),
        added(std::move(loaded_added)) {}

  void collect_tokens();
  void find_control_tokens();
  [[nodiscard]] std::size_t block_length(std::string_view text) const;
  void encode_text(std::string_view text, PreTokenized& scratch, std::vector<TokenId>& out) const;
  void encode_well_formed(std::string_view text, PreTokenized& scratch,
                          std::vector<TokenId>& out) const;
  std::size_t encode_ill_formed(std::string_view text, std::size_t at,
                                std::vector<TokenId>& out) const;
  void encode_escaped(unsigned char byte, std::vector<TokenId>& out) const;

  // The parts below point into file, which therefore is never changed.
  const TokenizerFile file;
  const TokenizerConfig config;
  BytePairEncoder encoder;
  PreTokenizer pre_tokenizer;
  AddedTokens added;

  std::vector<std::string_view> bytes;  ///< by id; empty for control tokens and gaps
  std::vector<bool> special;            ///< by id
  ByteIndex index;
  std::array<const AddedToken*, kControlTokens> control{};
  bool escapes = false;  ///< some bytes have no token (byte_escape.h)
};

void Tokenizer::Impl::collect_tokens() {
  TokenId end = 0;
  for (const VocabularyEntry& entry : file.vocabulary) end = std::max(end, entry.id + 1);
  for (const AddedToken& token : file.added_tokens) end = std::max(end, token.id + 1);
  bytes.resize(static_cast<std::size_t>(end));
  special.resize(static_cast<std::size_t>(end));
  for (const VocabularyEntry& entry : file.vocabulary) bytes[entry.id] = entry.bytes;
  for (const AddedToken& token : file.added_tokens) {
    bytes[token.id] = token.control ? std::string_view() : std::string_view(token.content);
    special[token.id] = token.control;
  }
  index = ByteIndex(bytes);
  for (int byte = 0; byte < 256; ++byte) {
    escapes = escapes || !encoder.byte_token(static_cast<unsigned char>(byte));
  }
}

void Tokenizer::Impl::find_control_tokens() {
  const auto find = [this](std::string_view content) -> const AddedToken* {
    const auto found =
        std::find_if(file.added_tokens.begin(), file.added_tokens.end(),
                     [&](const AddedToken& t) { return t.control && t.content == content; });
    return found == file.added_tokens.end() ? nullptr : &*found;
  };
  for (std::size_t i = 0; i < kControlTokens; ++i) control[i] = find(kControlTexts[i]);
  const auto prefer = [&](ControlToken token, std::string_view configured) {
    if (const AddedToken* found = find(configured)) control[index_of(token)] = found;
  };
  prefer(ControlToken::begin_of_sentence, config.begin_of_sentence);
  prefer(ControlToken::end_of_sentence, config.end_of_sentence);
}

/// How much of `text` to encode at once: whole lines that stay in the processor's cache where
/// lines are independent, else everything.
std::size_t Tokenizer::Impl::block_length(std::string_view text) const {
  constexpr std::size_t kBlock = 8192;
  if (!pre_tokenizer.isolates_newlines() || text.size() <= kBlock) return text.size();
  const std::size_t newline = text.find('\n', kBlock);
  return newline == std::string_view::npos ? text.size() : newline + 1;
}

/// Encodes text without added tokens in it.
void Tokenizer::Impl::encode_text(std::string_view text, PreTokenized& scratch,
                                  std::vector<TokenId>& out) const {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t good = well_formed_prefix(text.substr(at, block_length(text.substr(at))));
    if (good > 0) encode_well_formed(text.substr(at, good), scratch, out);
    at += good;
    at = encode_ill_formed(text, at, out);
  }
}

void Tokenizer::Impl::encode_well_formed(std::string_view text, PreTokenized& scratch,
                                         std::vector<TokenId>& out) const {
  pre_tokenizer.split(text, scratch);
  for (const Span& piece : scratch.pieces) {
    encoder.encode(scratch.text.substr(piece.begin, piece.end - piece.begin), out);
  }
}

/// Encodes the bytes at `at` that are no UTF-8 one by one; answers where text may go on.
std::size_t Tokenizer::Impl::encode_ill_formed(std::string_view text, std::size_t at,
                                               std::vector<TokenId>& out) const {
  for (; at < text.size() && decode_utf8(text, at).length == 0; ++at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    const auto token = encoder.byte_token(byte);
    if (token && !(escapes && looks_like_escape(text, at))) {
      out.push_back(*token);
    } else {
      encode_escaped(byte, out);
    }
  }
  return at;
}

void Tokenizer::Impl::encode_escaped(unsigned char byte, std::vector<TokenId>& out) const {
  for (const char c : escape_of_byte(byte)) {
    out.push_back(*encoder.byte_token(static_cast<unsigned char>(c)));
  }
}

Result<std::shared_ptr<const Tokenizer>> Tokenizer::load(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "tokenizer.json";
  auto file = read_tokenizer_file(path);
  if (!file) return pass_on(std::move(file));
  auto config = read_tokenizer_config(folder / "tokenizer_config.json");
  if (!config) return pass_on(std::move(config));
  auto pre_tokenizer = PreTokenizer::create(file->pre_tokenizer);
  if (!pre_tokenizer) return pass_on(std::move(pre_tokenizer), path.string() + ": pre_tokenizer");
  auto encoder = BytePairEncoder::create(file->vocabulary, file->merges, file->ignore_merges);
  if (!encoder) return pass_on(std::move(encoder), path.string());
  auto added = AddedTokens::create(file->added_tokens);
  if (!added) return pass_on(std::move(added), path.string());
  // Moving the vectors of `file` leaves their elements, which the parts point to, in place.
  auto impl = std::make_unique<Impl>(*std::move(file), *std::move(config), *std::move(encoder),
                                     *std::move(pre_tokenizer), *std::move(added));
  impl->collect_tokens();
  impl->find_control_tokens();
  return std::shared_ptr<const Tokenizer>(new Tokenizer(std::move(impl)));
}

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

std::vector<TokenId> Tokenizer::encode(std::string_view text, ControlStrings control) const {
  std::vector<TokenId> ids;
  ids.reserve(text.size() / 3 + 1);
  PreTokenized scratch;
  for (const TextSegment& segment :
       impl_->added.split(text, control == ControlStrings::as_tokens)) {
    if (segment.token) {
      ids.push_back(*segment.token);
    } else {
      const Span span = segment.span;
      impl_->encode_text(text.substr(span.begin, span.end - span.begin), scratch, ids);
    }
  }
  return ids;
}

std::string_view Tokenizer::bytes(TokenId id) const {
  return id >= 0 && id < size() ? impl_->bytes[id] : std::string_view();
}

std::string Tokenizer::decode(std::span<const TokenId> ids) const {
  std::string text;
  for (const TokenId id : ids) text += bytes(id);
  return impl_->escapes ? unescape_bytes(std::move(text)) : text;
}

std::optional<TokenId> Tokenizer::control(ControlToken token) const {
  const AddedToken* found = impl_->control[index_of(token)];
  return found == nullptr ? std::nullopt : std::optional(found->id);
}

std::string_view Tokenizer::control_text(ControlToken token) const {
  const AddedToken* found = impl_->control[index_of(token)];
  return found == nullptr ? std::string_view() : std::string_view(found->content);
}

bool Tokenizer::is_special(TokenId id) const {
  return id >= 0 && id < size() && impl_->special[id];
}

TokenId Tokenizer::size() const {
  return static_cast<TokenId>(impl_->bytes.size());
}

bool Tokenizer::splits_at_newlines() const {
  return impl_->pre_tokenizer.isolates_newlines() && impl_->added.respect_newlines();
}

std::vector<TokenId> Tokenizer::agreeing_with(std::string_view prefix) const {
  return impl_->index.agreeing_with(prefix);
}

bool Tokenizer::has_longer_token(std::string_view prefix) const {
  return impl_->index.has_longer_than(prefix);
}

const std::string& Tokenizer::chat_template() const {
  return impl_->config.chat_template;
}

}  // namespace caretd::engine
