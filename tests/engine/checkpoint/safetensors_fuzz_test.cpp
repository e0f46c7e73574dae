// Damaged model files by the thousand, from a fixed seed: whatever the bytes, opening ends with a
// message or with views that lie inside the file. Run under the sanitizers to see it all.
#include <array>
#include <random>

#include "engine/checkpoint/safetensors.h"
#include "engine/checkpoint/shapes.h"
#include "engine/checkpoint/tensor_table.h"
#include "tests/engine/checkpoint/safetensors_builder.h"
#include "tests/helpers/catch.h"
#include "tests/helpers/temporary_folder.h"

using namespace caretd::engine;
using caretd::test::SafetensorsBuilder;
using caretd::test::write_file;

namespace {

using Random = std::mt19937;

size_t below(Random& random, size_t bound) {
  return random() % bound;
}

/// Pieces that steer random edits towards the interesting parts of the grammar.
const std::string& fragment(Random& random) {
  static const std::array<std::string, 18> kFragments{"-1",          "18446744073709551615",
                                                      "1e300",       "[",
                                                      "]",           "{",
                                                      "}",           "\"",
                                                      ",",           ":",
                                                      "null",        "\"shape\"",
                                                      "\"dtype\"",   "\"data_offsets\"",
                                                      "\"F8_E4M3\"", "[0,0]",
                                                      "\\ud800",     "9223372036854775807"};
  return kFragments[below(random, kFragments.size())];
}

void mutate(std::string& text, Random& random) {
  const size_t at = below(random, text.size() + 1);
  switch (below(random, 5)) {
    case 0:
      if (at < text.size()) text[at] = static_cast<char>(random());
      break;
    case 1:
      text.erase(at, below(random, 16));
      break;
    case 2:
      text.insert(at, fragment(random));
      break;
    case 3:
      text.replace(at, below(random, 8), fragment(random));
      break;
    default: {  // repeat a stretch: duplicate names, overlapping ranges
      const std::string stretch = text.substr(at, below(random, 64));
      text.insert(below(random, text.size() + 1), stretch);
    }
  }
}

std::string small_file() {
  SafetensorsBuilder builder;
  builder.add("a.weight", "F32", {2, 2}, std::string(16, 'a'))
      .add("b.weight", "BF16", {3}, std::string(6, 'b'))
      .add("c.weight", "F8_E4M3", {2, 1}, std::string(2, 'c'))
      .add("c.weight_scale", "F32", {}, std::string(4, 'd'));
  return builder.build();
}

}  // namespace

TEST_CASE("damaged safetensors headers give a message or sound entries") {
  Random random(20240614);
  const std::string file = small_file();
  const auto sections = split_safetensors(std::as_bytes(std::span(file)));
  REQUIRE(sections);
  const auto data_bytes = static_cast<std::int64_t>(sections->data.size());
  int accepted = 0;
  for (int round = 0; round < 40000; ++round) {
    std::string header(sections->header);
    for (size_t edits = 1 + below(random, 3); edits > 0; --edits) mutate(header, random);
    const auto parsed = parse_safetensors_header(header, data_bytes);
    if (!parsed) {
      REQUIRE(parsed.error().message.ends_with("."));
      continue;
    }
    ++accepted;
    std::int64_t covered = 0;
    for (const TensorEntry& tensor : *parsed) {
      REQUIRE(tensor.begin == covered);
      REQUIRE(tensor.end >= tensor.begin);
      covered = tensor.end;
    }
    REQUIRE(covered == data_bytes);
  }
  CHECK(accepted > 0);  // edits inside names and white space are harmless
}

TEST_CASE("damaged files give a message or views inside the file") {
  Random random(7);
  const caretd::test::TemporaryFolder folder;
  const std::string whole = small_file();
  for (int round = 0; round < 1500; ++round) {
    std::string file = whole;
    for (size_t edits = 1 + below(random, 3); edits > 0; --edits) mutate(file, random);
    if (below(random, 4) == 0) file.resize(below(random, file.size() + 1));
    write_file(folder.path() / "model.safetensors", file);
    const auto table = TensorTable::open(folder.path());
    if (!table) {
      REQUIRE_FALSE(table.error().message.empty());
      continue;
    }
    unsigned sum = 0;  // touches every byte, for the sanitizers
    for (const Tensor& tensor : table->tensors()) {
      for (const std::byte byte : tensor.data) sum += std::to_integer<unsigned>(byte);
    }
    REQUIRE(sum <= 255 * file.size());
  }
}

TEST_CASE("damaged configs and indices give a message") {
  Random random(99);
  const std::string config = write_model_config(*shape_by_name("small-full"));
  const std::string index =
      R"({"metadata": {"total_size": 10}, "weight_map": {"a": "x.safetensors", "b": "y"}})";
  for (int round = 0; round < 4000; ++round) {
    std::string text = config;
    for (size_t edits = 1 + below(random, 3); edits > 0; --edits) mutate(text, random);
    const auto parsed = parse_model_config(text, "config.json");
    if (parsed) {
      REQUIRE(parsed->layers > 0);
      REQUIRE(parsed->experts_per_token <= parsed->routed_experts);
    } else {
      REQUIRE(parsed.error().message.starts_with("config.json: "));
    }
    text = index;
    mutate(text, random);
    mutate(text, random);
    const auto shards = parse_shard_index(text);
    if (!shards) continue;
    for (const auto& [tensor, name] : *shards) REQUIRE(name.find('/') == std::string::npos);
  }
}
