// Small random models with every feature of the family, against the float64 reference.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "tests/engine/runner/model_on_cpu.h"
#include "tests/helpers/catch.h"
#include "tests/helpers/reference_model.h"

using namespace caretd::engine;

namespace {

constexpr unsigned kTokens = 68;      // beyond one page
constexpr unsigned kMoreTokens = 10;  // one beside each piece of the others

std::vector<TokenId> some_tokens(int vocab, unsigned count, unsigned seed) {
  std::vector<TokenId> tokens;
  for (unsigned i = 0; i < count; ++i) {
    tokens.push_back(
        static_cast<TokenId>((seed + i * i * 31 + i * 7) % static_cast<unsigned>(vocab)));
  }
  return tokens;
}

/// The largest difference between a row and the reference, in units of the reference's spread.
double difference(const OutputRow& row, const std::vector<double>& expected) {
  double worst = 0;
  double squares = 0;
  REQUIRE(row.logits.size() == expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const double off = std::abs(static_cast<double>(row.logits[i]) - expected[i]);
    if (!(off <= worst)) worst = off;
    squares += expected[i] * expected[i];
  }
  return worst / std::sqrt(squares / static_cast<double>(expected.size()));
}

/// Two sequences and what the reference makes of them.
struct Expected {
  explicit Expected(const Checkpoint& checkpoint)
      : first(some_tokens(checkpoint.config().vocab_size, kTokens, 3)),
        second(some_tokens(checkpoint.config().vocab_size, kMoreTokens, 11)) {
    const caretd::test::ReferenceModel reference(checkpoint);
    first_logits = reference.logits(first);
    second_logits = reference.logits(second);
  }
  std::vector<TokenId> first, second;
  std::vector<std::vector<double>> first_logits, second_logits;
};

/// The first sequence goes in pieces of 1, 3, 9, 27, ... tokens, and beside every piece the
/// second goes one token further, in one batch.
double worst_difference(Runner& runner, const Expected& expected) {
  const auto& [first, second, first_logits, second_logits] = expected;
  const std::vector<PageId> first_pages{4, 1};
  const std::vector<PageId> second_pages{2, 0};
  double worst = 0;
  size_t decoded = 0;
  for (size_t begin = 0, piece = 1; begin < first.size(); piece *= 3) {
    const size_t count = std::min(piece, first.size() - begin);
    const std::vector<TokenRun> batch{{.tokens = std::span(first).subspan(begin, count),
                                       .position = static_cast<int>(begin),
                                       .pages = first_pages,
                                       .output = Output::logits,
                                       .every_row = true},
                                      {.tokens = std::span(second).subspan(decoded, 1),
                                       .position = static_cast<int>(decoded),
                                       .pages = second_pages,
                                       .output = Output::logits}};
    const auto rows = runner.forward(batch);
    REQUIRE(rows);
    REQUIRE(rows->size() == count + 1);
    for (size_t i = 0; i < count; ++i) {
      worst = std::max(worst, difference((*rows)[i], first_logits[begin + i]));
    }
    worst = std::max(worst, difference(rows->back(), second_logits[decoded]));
    begin += count;
    ++decoded;
  }
  CHECK(decoded > 3);
  return worst;
}

double worst_difference(const std::shared_ptr<const Checkpoint>& checkpoint,
                        const Expected& expected, const std::string& isa) {
  const auto runner = caretd::test::make_runner(
      checkpoint, {.kv_bytes = 4 << 20, .threads = 3, .precise = true, .cpu_isa = isa});
  return worst_difference(*runner, expected);
}

}  // namespace

TEST_CASE("every feature of the family agrees with the reference in float64") {
  int shapes = 0;
  for (const NamedShape& shape : named_shapes()) {
    if (!shape.name.starts_with("small")) continue;
    ++shapes;
    INFO(shape.name);
    const auto checkpoint = caretd::test::random_checkpoint(shape.name, WeightFormat::fp8_block);
    CHECK(worst_difference(checkpoint, Expected(*checkpoint), "") < 1e-4);
  }
  CHECK(shapes >= 9);
}

TEST_CASE("every weight format and instruction set agrees with the reference") {
  for (const WeightFormat format :
       {WeightFormat::bf16, WeightFormat::f32, WeightFormat::fp8_block, WeightFormat::fp8_tensor}) {
    const auto checkpoint = caretd::test::random_checkpoint("small-full", format);
    const Expected expected(*checkpoint);
    for (const auto* kernels : caretd::kernels::cpu::available_kernels()) {
      INFO(to_string(format) << " " << kernels->id);
      CHECK(worst_difference(checkpoint, expected, kernels->id) < 1e-4);
    }
  }
}
