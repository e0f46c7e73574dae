// What engine/runner.h promises, kept by the CPU runner.
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "kernels/cpu/kernels.h"
#include "tests/engine/runner/model_on_cpu.h"
#include "tests/helpers/catch.h"

using namespace caretd::engine;
using caretd::ErrorKind;
using caretd::test::make_runner;
using caretd::test::random_checkpoint;

namespace {

constexpr std::array<PageId, 3> kPages{0, 1, 2};
constexpr std::array<PageId, 3> kOtherPages{3, 4, 5};

std::vector<TokenId> tokens(int count, int seed = 0) {
  std::vector<TokenId> ids;
  for (int i = 0; i < count; ++i) ids.push_back((seed + i * 37 + i * i) % 1000);
  return ids;
}

/// Runs one sequence and returns the logits after its last token.
std::vector<float> last_logits(Runner& runner, std::span<const TokenId> ids, int position,
                               std::span<const PageId> pages) {
  const TokenRun run{.tokens = ids, .position = position, .pages = pages, .output = Output::logits};
  const auto rows = runner.forward({&run, 1});
  REQUIRE(rows);
  REQUIRE(rows->size() == 1);
  return {rows->front().logits.begin(), rows->front().logits.end()};
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(a[i]) - b[i]));
  }
  return worst;
}

caretd::Result<std::span<const OutputRow>> forward_one(Runner& runner, const TokenRun& run) {
  return runner.forward({&run, 1});
}

/// Writes a value over the first element of a float32 tensor and returns what was there.
float overwrite_first_element(const std::filesystem::path& model, const std::string& tensor,
                              float value) {
  for (const auto& entry : std::filesystem::directory_iterator(model)) {
    if (entry.path().extension() != ".safetensors") continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    std::uint64_t header_bytes = 0;
    file.read(reinterpret_cast<char*>(&header_bytes), sizeof header_bytes);
    std::string header(header_bytes, ' ');
    file.read(header.data(), static_cast<std::streamsize>(header_bytes));
    const auto json = nlohmann::json::parse(header);
    if (!json.contains(tensor)) continue;
    const auto offset = static_cast<std::streamoff>(
        sizeof header_bytes + header_bytes + json[tensor]["data_offsets"][0].get<std::uint64_t>());
    float before = 0.0F;
    file.seekg(offset);
    file.read(reinterpret_cast<char*>(&before), sizeof before);
    file.seekp(offset);
    file.write(reinterpret_cast<const char*>(&value), sizeof value);
    return before;
  }
  FAIL("no tensor " << tensor);
  return 0.0F;
}

}  // namespace

TEST_CASE("rows come run by run, only where output is asked for") {
  const auto runner = make_runner(random_checkpoint("small", WeightFormat::bf16));
  const auto ids = tokens(5);
  const std::array<PageId, 1> a{0}, b{1}, c{2};
  const std::vector<TokenRun> batch{
      {.tokens = ids, .pages = a, .output = Output::none},
      {.tokens = ids, .pages = b, .output = Output::logits, .every_row = true},
      {.tokens = std::span(ids).first(3), .pages = c, .output = Output::candidates}};
  const auto rows = runner->forward(batch);
  REQUIRE(rows);
  REQUIRE(rows->size() == 6);
  // Equal prefixes give equal rows whichever run they are in.
  CHECK((*rows)[2].log_sum_exp == Approx((*rows)[5].log_sum_exp).margin(1e-5));
  CHECK((*rows)[5].logits.empty());
  CHECK((*rows)[0].logits.size() == 1000);
}

TEST_CASE("candidates are the likeliest tokens in order, and padding rows are not among them") {
  const auto checkpoint = random_checkpoint("small", WeightFormat::bf16);
  const int real = 777;
  const auto runner =
      make_runner(checkpoint, {.kv_bytes = 4 << 20, .threads = 2, .real_vocab = real});
  const auto ids = tokens(9);
  const auto rows =
      forward_one(*runner, {.tokens = ids, .pages = kPages, .output = Output::logits});
  REQUIRE(rows);
  const OutputRow& row = rows->front();
  REQUIRE(row.logits.size() == real);
  REQUIRE(row.candidates.size() == kCandidates);
  std::vector<TokenId> order(row.logits.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<TokenId>(i);
  std::stable_sort(order.begin(), order.end(), [&](TokenId x, TokenId y) {
    return row.logits[static_cast<std::size_t>(x)] > row.logits[static_cast<std::size_t>(y)];
  });
  double sum = 0;
  for (const float logit : row.logits) sum += std::exp(static_cast<double>(logit));
  CHECK(row.log_sum_exp == Approx(std::log(sum)).margin(1e-5));
  for (std::size_t i = 0; i < row.candidates.size(); ++i) {
    CHECK(row.candidates[i].id == order[i]);
    CHECK(row.candidates[i].logit == row.logits[static_cast<std::size_t>(order[i])]);
  }
}

TEST_CASE("a sequence gives the same in one piece, in pieces, and beside others") {
  const auto runner = make_runner(random_checkpoint("small-full", WeightFormat::fp8_block));
  const auto ids = tokens(150);
  const auto whole = last_logits(*runner, ids, 0, kPages);
  for (std::size_t begin = 0; begin < 149; begin += 7) {
    const std::size_t count = std::min<std::size_t>(7, 149 - begin);
    const TokenRun run{.tokens = std::span(ids).subspan(begin, count),
                       .position = static_cast<int>(begin),
                       .pages = kOtherPages,
                       .output = Output::none};
    REQUIRE(forward_one(*runner, run));
  }
  const auto filler = tokens(40, 5);
  const std::array<PageId, 1> more{6};
  const std::vector<TokenRun> batch{{.tokens = filler, .pages = more, .output = Output::none},
                                    {.tokens = std::span(ids).last(1),
                                     .position = 149,
                                     .pages = kOtherPages,
                                     .output = Output::logits}};
  const auto rows = runner->forward(batch);
  REQUIRE(rows);
  const std::vector<float> pieces(rows->front().logits.begin(), rows->front().logits.end());
  CHECK(largest_difference(whole, pieces) < 1e-4);
}

TEST_CASE("the same steps give the same bits, whatever the number of threads") {
  const auto checkpoint = random_checkpoint("small", WeightFormat::fp8_block);
  const auto ids = tokens(100);
  const bool precise = GENERATE(true, false);
  const auto run = [&](int threads) {
    const auto runner =
        make_runner(checkpoint, {.kv_bytes = 4 << 20, .threads = threads, .precise = precise});
    last_logits(*runner, std::span(ids).first(99), 0, kPages);
    return last_logits(*runner, std::span(ids).last(1), 99, kPages);
  };
  const auto two = run(2);
  CHECK(run(2) == two);
  // Sums in another order; keys that are rounded may fall to the other side.
  const double bound = precise ? 1e-5 : 1e-3;
  CHECK(largest_difference(run(1), two) < bound);
  CHECK(largest_difference(run(5), two) < bound);
}

TEST_CASE("pages are copied row by row, moved out and back") {
  const auto runner = make_runner(random_checkpoint("small", WeightFormat::bf16));
  const auto ids = tokens(41);
  const auto expected = last_logits(*runner, ids, 0, kPages);
  // 30 rows copied; the rest of the page holds other text first.
  last_logits(*runner, tokens(64, 9), 0, kOtherPages);
  REQUIRE(runner->copy_page(kPages[0], kOtherPages[0], 30));
  CHECK(largest_difference(last_logits(*runner, std::span(ids).subspan(30), 30, kOtherPages),
                           expected) < 1e-4);
  std::vector<std::byte> saved(static_cast<std::size_t>(runner->info().page_bytes));
  REQUIRE(runner->read_page(kPages[0], saved));
  REQUIRE(runner->write_page(7, saved));
  const std::array<PageId, 1> restored{7};
  CHECK(largest_difference(last_logits(*runner, std::span(ids).last(1), 40, restored), expected) <
        1e-4);
}

TEST_CASE("what does not fit is refused and leaves the runner usable") {
  const auto runner = make_runner(random_checkpoint("small", WeightFormat::bf16),
                                  {.kv_bytes = 4 << 20, .threads = 2});
  const auto refused = [&](const TokenRun& run) {
    const auto rows = forward_one(*runner, run);
    return !rows && !rows.error().message.empty();
  };
  const auto ids = tokens(10);
  const std::array<PageId, 1> page{0};
  const std::array<PageId, 1> outside{runner->info().pages};
  const std::vector<TokenId> large{1000};
  const std::vector<TokenId> negative{-1};
  CHECK(refused({.tokens = {}, .pages = page}));
  CHECK(refused({.tokens = ids, .position = 60, .pages = page}));
  CHECK(refused({.tokens = ids, .position = -1, .pages = page}));
  CHECK(refused({.tokens = ids, .pages = outside}));
  CHECK(refused({.tokens = large, .pages = page}));
  CHECK(refused({.tokens = negative, .pages = page}));
  CHECK(refused({.tokens = tokens(runner->info().max_batch_tokens + 1), .pages = page}));
  std::vector<std::byte> small(10);
  CHECK_FALSE(runner->read_page(0, small));
  CHECK_FALSE(runner->write_page(0, small));
  CHECK_FALSE(runner->copy_page(0, runner->info().pages, 1));
  CHECK(forward_one(*runner, {.tokens = ids, .pages = page}));
}

TEST_CASE("loading says in one sentence what it cannot do") {
  const auto checkpoint = random_checkpoint("small", WeightFormat::bf16);
  const auto unknown = make_cpu_runner(checkpoint, {.cpu_isa = "vax"}, {}, {});
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().kind == ErrorKind::unsupported);
  CHECK(unknown.error().message.find("portable") != std::string::npos);
  const auto no_room = make_cpu_runner(checkpoint, {.kv_bytes = 100}, {}, {});
  REQUIRE_FALSE(no_room);
  CHECK(no_room.error().kind == ErrorKind::invalid_input);
  std::stop_source stop;
  stop.request_stop();
  const auto cancelled = make_cpu_runner(checkpoint, {}, {}, stop.get_token());
  REQUIRE_FALSE(cancelled);
  CHECK(cancelled.error().kind == ErrorKind::cancelled);
}

TEST_CASE("weights that are not numbers are refused by the tensor's name") {
  const caretd::test::TemporaryFolder folder;
  const auto model = folder.path() / "model";
  REQUIRE(write_checkpoint(model, *shape_by_name("small"), {.format = WeightFormat::f32}));
  for (const std::string name :
       {"model.layers.1.self_attn.o_proj.weight", "model.layers.2.mlp.experts.3.down_proj.weight",
        "model.layers.1.post_attention_layernorm.weight"}) {
    const auto restore = overwrite_first_element(model, name, std::nanf(""));
    const auto runner = make_cpu_runner(caretd::test::open_checkpoint(model), {}, {}, {});
    overwrite_first_element(model, name, restore);
    REQUIRE_FALSE(runner);
    CHECK(runner.error().kind == ErrorKind::invalid_input);
    CHECK(runner.error().message.find(name) != std::string::npos);
  }
  CHECK(make_cpu_runner(caretd::test::open_checkpoint(model), {}, {}, {}));
}

TEST_CASE("progress grows to one, and the description fits the model") {
  const auto checkpoint = random_checkpoint("small-tied", WeightFormat::fp8_block);
  std::vector<double> reported;
  const auto runner =
      make_cpu_runner(checkpoint, {.kv_bytes = 4 << 20, .threads = 2, .cpu_isa = "portable"},
                      [&](double done) { reported.push_back(done); }, {});
  REQUIRE(runner);
  REQUIRE_FALSE(reported.empty());
  CHECK(std::is_sorted(reported.begin(), reported.end()));
  CHECK(reported.back() == 1.0);
  const RunnerInfo& info = (*runner)->info();
  CHECK(info.device == "CPU (portable, 2 threads)");
  CHECK(info.weight_format == "FP8 block-wise");
  CHECK(info.page_bytes == 3 * 64 * (128 + 32) * 2);
  CHECK(info.pages == (4 << 20) / info.page_bytes);
  // Kept as they are: 8-bit projections and 16-bit embedding, with at most a few percent of scales
  // and padding. One token leaves out most experts.
  CHECK(info.weight_bytes >= checkpoint->bytes());
  CHECK(info.weight_bytes < checkpoint->bytes() * 1.15);
  CHECK(info.weight_bytes_per_token < info.weight_bytes);
  CHECK(info.weight_bytes_per_token > info.weight_bytes / 4);
}

TEST_CASE("tokens within a duration follow the measured speed") {
  const auto runner = make_runner(random_checkpoint("small", WeightFormat::bf16));
  const auto ids = tokens(128);
  constexpr int kSteps = 20;
  const auto follows = [&] {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kSteps; ++i) last_logits(*runner, ids, 0, kPages);
    const auto step = (std::chrono::steady_clock::now() - start) / kSteps;
    const int few = runner->tokens_within(step / 2, 0);
    const int more = runner->tokens_within(step * 2, 0);
    return few < more && more > 64 && runner->tokens_within(step * 2, 100000) < more;
  };
  // A machine that does something else in between has no speed to follow: measured once more.
  constexpr int kAttempts = 50;
  int attempts = 0;
  while (attempts < kAttempts && !follows()) ++attempts;
  CHECK(attempts < kAttempts);
  CHECK(runner->tokens_within(std::chrono::hours(1), 0) == runner->info().max_batch_tokens);
}
