#include "engine/text/byte_pair_encoder.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <queue>
#include <string>
#include <tuple>

namespace caretd::engine {
namespace {

/// Pieces up to this length are merged by scanning an array, longer ones with a heap.
constexpr std::size_t kShortPiece = 48;

std::uint64_t pair_key(TokenId left, TokenId right) {
  return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
}

/// Spreads keys over the table (the finaliser of MurmurHash3).
std::uint64_t mix(std::uint64_t key) {
  key ^= key >> 33;
  key *= 0xFF51AFD7ED558CCDULL;
  key ^= key >> 33;
  return key;
}

/// Table size for `entries`: a power of two, at most half full.
std::size_t table_size(std::size_t entries) {
  return std::bit_ceil(2 * entries + 2);
}

bool may_lack_a_token(int byte) {
  return byte == 0xC0 || byte == 0xC1 || byte >= 0xF5;
}

}  // namespace

BytePairEncoder::MergeTable::MergeTable(std::span<const Merge> merges)
    : slots_(table_size(merges.size())), mask_(slots_.size() - 1) {
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const std::uint64_t key = pair_key(merges[rank].left, merges[rank].right);
    std::uint64_t at = mix(key) & mask_;
    while (slots_[at].pair != kFree && slots_[at].pair != key) at = (at + 1) & mask_;
    slots_[at] = {key, {static_cast<std::uint32_t>(rank), merges[rank].result}};
  }
}

BytePairEncoder::Merged BytePairEncoder::MergeTable::find(TokenId left, TokenId right) const {
  const std::uint64_t key = pair_key(left, right);
  std::uint64_t at = mix(key) & mask_;
  while (slots_[at].pair != key) {
    if (slots_[at].pair == kFree) return {};
    at = (at + 1) & mask_;
  }
  return slots_[at].merged;
}

void BytePairEncoder::WordTable::reserve(std::size_t words) {
  slots_.assign(table_size(words), {});
  mask_ = slots_.size() - 1;
}

std::uint32_t BytePairEncoder::WordTable::hash_of(std::string_view word) {
  return static_cast<std::uint32_t>(std::hash<std::string_view>()(word));
}

void BytePairEncoder::WordTable::insert(std::string_view word, TokenId id) {
  const std::uint32_t hash = hash_of(word);
  std::uint64_t at = hash & mask_;
  while (!slots_[at].word.empty() && slots_[at].word != word) at = (at + 1) & mask_;
  slots_[at] = {word, hash, id};
  longest_ = std::max(longest_, word.size());
}

std::optional<TokenId> BytePairEncoder::WordTable::find(std::string_view word) const {
  if (word.size() > longest_) return {};
  const std::uint32_t hash = hash_of(word);
  for (std::uint64_t at = hash & mask_; !slots_[at].word.empty(); at = (at + 1) & mask_) {
    if (slots_[at].hash == hash && slots_[at].word == word) return slots_[at].id;
  }
  return {};
}

Result<BytePairEncoder> BytePairEncoder::create(std::span<const VocabularyEntry> vocabulary,
                                                std::span<const Merge> merges, bool ignore_merges) {
  BytePairEncoder made;
  made.byte_tokens_.fill(kNoToken);
  for (const VocabularyEntry& entry : vocabulary) {
    if (entry.reachable && entry.bytes.size() == 1) {
      made.byte_tokens_[static_cast<unsigned char>(entry.bytes.front())] = entry.id;
    }
  }
  for (int byte = 0; byte < 256; ++byte) {
    if (made.byte_tokens_[byte] == kNoToken && !may_lack_a_token(byte)) {
      return fail(ErrorKind::invalid_input,
                  "model.vocab lacks a token for the byte " + std::to_string(byte));
    }
  }
  made.merges_ = MergeTable(merges);
  made.words_.reserve(vocabulary.size());
  // A piece that merging turns into one token is looked up whole; most words of real text are.
  std::vector<TokenId> ids;
  for (const VocabularyEntry& entry : vocabulary) {
    if (!entry.reachable) continue;
    ids.clear();
    if (!ignore_merges) made.merge(entry.bytes, ids);
    if (ignore_merges || (ids.size() == 1 && ids.front() == entry.id)) {
      made.words_.insert(entry.bytes, entry.id);
    }
  }
  return made;
}

std::optional<TokenId> BytePairEncoder::byte_token(unsigned char byte) const {
  const TokenId id = byte_tokens_[byte];
  return id == kNoToken ? std::nullopt : std::optional(id);
}

void BytePairEncoder::encode(std::string_view piece, std::vector<TokenId>& out) const {
  if (const auto whole = words_.find(piece)) {
    out.push_back(*whole);
  } else {
    merge(piece, out);
  }
}

void BytePairEncoder::merge(std::string_view piece, std::vector<TokenId>& out) const {
  if (piece.size() <= kShortPiece) {
    merge_short(piece, out);
  } else {
    merge_long(piece, out);
  }
}

void BytePairEncoder::merge_short(std::string_view piece, std::vector<TokenId>& out) const {
  std::array<TokenId, kShortPiece> ids;
  std::array<Merged, kShortPiece> with_next;  // merging ids[i] and ids[i + 1]
  std::size_t count = piece.size();
  for (std::size_t i = 0; i < count; ++i)
    ids[i] = byte_tokens_[static_cast<unsigned char>(piece[i])];
  for (std::size_t i = 0; i + 1 < count; ++i) with_next[i] = merges_.find(ids[i], ids[i + 1]);
  while (count > 1) {
    const auto pairs_end = with_next.begin() + static_cast<std::ptrdiff_t>(count) - 1;
    const auto best =
        std::min_element(with_next.begin(), pairs_end,
                         [](const Merged& a, const Merged& b) { return a.rank < b.rank; });
    if (best->rank == kNoMerge) break;
    const auto at = static_cast<std::size_t>(best - with_next.begin());
    ids[at] = best->id;
    std::copy(ids.begin() + at + 2, ids.begin() + count, ids.begin() + at + 1);
    std::copy(best + 1, pairs_end, best);
    --count;
    if (at > 0) with_next[at - 1] = merges_.find(ids[at - 1], ids[at]);
    if (at + 1 < count) with_next[at] = merges_.find(ids[at], ids[at + 1]);
  }
  out.insert(out.end(), ids.begin(), ids.begin() + count);
}

void BytePairEncoder::merge_long(std::string_view piece, std::vector<TokenId>& out) const {
  struct Symbol {
    TokenId id = kNoToken;  // kNoToken: merged into the symbol before it
    std::uint32_t previous = 0;
    std::uint32_t next = 0;
    Merged with_next;
  };
  const auto count = static_cast<std::uint32_t>(piece.size());
  std::vector<Symbol> symbols(count);
  using Candidate = std::pair<std::uint32_t, std::uint32_t>;  // rank, position
  std::vector<Candidate> candidates;
  candidates.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    symbols[i] = {byte_tokens_[static_cast<unsigned char>(piece[i])], i - 1, i + 1, {}};
  }
  for (std::uint32_t i = 0; i + 1 < count; ++i) {
    symbols[i].with_next = merges_.find(symbols[i].id, symbols[i + 1].id);
    if (symbols[i].with_next.rank != kNoMerge) {
      candidates.emplace_back(symbols[i].with_next.rank, i);
    }
  }
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue(
      std::greater<>(), std::move(candidates));
  const auto refresh = [&](std::uint32_t at) {
    Symbol& symbol = symbols[at];
    symbol.with_next =
        symbol.next < count ? merges_.find(symbol.id, symbols[symbol.next].id) : Merged{};
    if (symbol.with_next.rank != kNoMerge) queue.emplace(symbol.with_next.rank, at);
  };
  while (!queue.empty()) {
    const auto [rank, at] = queue.top();
    queue.pop();
    Symbol& symbol = symbols[at];
    if (symbol.id == kNoToken || symbol.with_next.rank != rank) continue;  // outdated
    Symbol& absorbed = symbols[symbol.next];
    symbol.id = symbol.with_next.id;
    absorbed.id = kNoToken;
    symbol.next = absorbed.next;
    if (symbol.next < count) symbols[symbol.next].previous = at;
    refresh(at);
    if (at > 0) refresh(symbol.previous);
  }
  for (std::uint32_t at = 0; at < count; at = symbols[at].next) out.push_back(symbols[at].id);
}

}  // namespace caretd::engine
