// Byte-pair encoding of one piece of text (Sennrich et al. 2016, over bytes as in GPT-2): merge
// the neighbouring pair of lowest rank, leftmost first, until no pair can be merged.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "engine/text/tokenizer_file.h"
#include "engine/types.h"
#include "support/result.h"

namespace caretd::engine {

/// Immutable after creation; thread-safe.
class BytePairEncoder {
 public:
  /// `vocabulary` must outlive the encoder.
  [[nodiscard]] static Result<BytePairEncoder> create(std::span<const VocabularyEntry> vocabulary,
                                                      std::span<const Merge> merges,
                                                      bool ignore_merges);

  /// Appends the ids of `piece`. Time is O(n log n) in its length at worst.
  void encode(std::string_view piece, std::vector<TokenId>& out) const;

  /// The token of a single byte; nothing for bytes that cannot occur in well-formed UTF-8 and
  /// that the vocabulary therefore may leave out.
  [[nodiscard]] std::optional<TokenId> byte_token(unsigned char byte) const;

 private:
  /// Rank and result of merging a pair; rank kNoMerge where the pair does not merge.
  struct Merged {
    std::uint32_t rank = std::numeric_limits<std::uint32_t>::max();
    TokenId id = 0;
  };
  static constexpr std::uint32_t kNoMerge = std::numeric_limits<std::uint32_t>::max();

  /// Open-addressing table from (left, right) to Merged.
  class MergeTable {
   public:
    MergeTable() = default;
    explicit MergeTable(std::span<const Merge> merges);
    [[nodiscard]] Merged find(TokenId left, TokenId right) const;

   private:
    struct Slot {
      std::uint64_t pair = kFree;
      Merged merged;
    };
    static constexpr std::uint64_t kFree = std::numeric_limits<std::uint64_t>::max();
    std::vector<Slot> slots_;
    std::uint64_t mask_ = 0;
  };

  /// Open-addressing table from the bytes of whole pieces to the one token they become.
  class WordTable {
   public:
    void reserve(std::size_t words);
    void insert(std::string_view word, TokenId id);
    [[nodiscard]] std::optional<TokenId> find(std::string_view word) const;

   private:
    struct Slot {
      std::string_view word;  ///< empty: free
      std::uint32_t hash = 0;
      TokenId id = 0;
    };
    static std::uint32_t hash_of(std::string_view word);
    std::vector<Slot> slots_;
    std::uint64_t mask_ = 0;
    std::size_t longest_ = 0;
  };

  BytePairEncoder() = default;
  void merge(std::string_view piece, std::vector<TokenId>& out) const;
  void merge_short(std::string_view piece, std::vector<TokenId>& out) const;
  void merge_long(std::string_view piece, std::vector<TokenId>& out) const;

  std::array<TokenId, 256> byte_tokens_{};  ///< kNoToken where there is none
  static constexpr TokenId kNoToken = -1;
  MergeTable merges_;
  WordTable words_;
};

}  // namespace caretd::engine
