#include "engine/text/byte_pair_encoder.h"

#include <map>

#include "tests/engine/text/text_cases.h"
#include "tests/helpers/catch.h"

using namespace caretd::engine;
using namespace caretd::engine::test;

namespace {

/// The definition, word for word: merge the leftmost pair of lowest rank until none is left.
class DirectEncoder {
 public:
  explicit DirectEncoder(const TokenizerFile& file) {
    for (std::size_t rank = 0; rank < file.merges.size(); ++rank) {
      const Merge& merge = file.merges[rank];
      ranks_[{merge.left, merge.right}] = {rank, merge.result};
    }
    for (const VocabularyEntry& entry : file.vocabulary) {
      if (entry.bytes.size() == 1) bytes_[entry.bytes.front()] = entry.id;
    }
  }

  [[nodiscard]] std::vector<TokenId> encode(std::string_view piece) const {
    std::vector<TokenId> ids;
    for (const char c : piece) ids.push_back(bytes_.at(c));
    while (true) {
      std::size_t best_rank = ranks_.size();
      std::size_t at = 0;
      TokenId result = 0;
      for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
        const auto found = ranks_.find({ids[i], ids[i + 1]});
        if (found == ranks_.end() || found->second.first >= best_rank) continue;
        std::tie(best_rank, result) = found->second;
        at = i;
      }
      if (best_rank == ranks_.size()) return ids;
      ids[at] = result;
      ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    }
  }

 private:
  std::map<std::pair<TokenId, TokenId>, std::pair<std::size_t, TokenId>> ranks_;
  std::map<char, TokenId> bytes_;
};

/// A piece of `length` bytes that merges richly: code words, repeats and noise.
std::string random_piece(std::mt19937_64& random, std::size_t length) {
  static const std::vector<std::string> parts = {"return", "self", "int", "  ", "    ", "aaaa",
                                                 "abab",   "==",   "é",   "数", "x",    "\n"};
  std::string piece;
  while (piece.size() < length) {
    if (random() % 5 == 0) {
      piece += static_cast<char>(random() % 128);
    } else {
      piece += parts[random() % parts.size()];
    }
  }
  piece.resize(length);
  return piece;
}

}  // namespace

TEST_CASE("pieces of every length are merged as the definition says") {
  const auto file = read_tokenizer_file("models/tiny/tokenizer.json");
  REQUIRE(file.has_value());
  const auto encoder = BytePairEncoder::create(file->vocabulary, file->merges, false);
  REQUIRE(encoder.has_value());
  const DirectEncoder direct(*file);
  std::mt19937_64 random(23);
  for (std::size_t length = 1; length < 160; ++length) {
    for (int i = 0; i < 4; ++i) {
      const std::string piece = random_piece(random, length);
      std::vector<TokenId> ids;
      encoder->encode(piece, ids);
      REQUIRE(ids == direct.encode(piece));
    }
  }
}

TEST_CASE("every vocabulary entry that merging can make encodes to itself") {
  const auto file = read_tokenizer_file("models/tiny/tokenizer.json").value();
  const auto encoder = BytePairEncoder::create(file.vocabulary, file.merges, false).value();
  const DirectEncoder direct(file);
  for (const VocabularyEntry& entry : file.vocabulary) {
    std::vector<TokenId> ids;
    encoder.encode(entry.bytes, ids);
    REQUIRE(ids == direct.encode(entry.bytes));
  }
}
