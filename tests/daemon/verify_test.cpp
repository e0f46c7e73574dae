// Verification has to notice: the embedded model against golden numbers that were tampered with.
#include "engine/verify/verify.h"

#include "daemon/engines/model_loading.h"
#include "engine/verify/golden_file.h"
#include "tests/helpers/catch.h"

namespace caretd::daemon {
namespace {

engine::LoadedModel load_tiny() {
  ModelSettings settings;
  settings.path = "models/tiny";
  settings.device = "cpu";
  settings.precise = true;
  settings.kv_mebibytes = 32;
  auto model = load_model(settings, InstallTree{}, make_null_logger(), [](double) {}, {});
  REQUIRE(model.has_value());
  return *std::move(model);
}

TEST_CASE("verification passes on true numbers and names what is wrong with others") {
  const auto model = load_tiny();
  const auto file = engine::read_golden_file("models/tiny/golden.json");
  REQUIRE(file.has_value());
  const engine::GoldenCase& truth = file->cases.at(1);
  const auto misses = [&](const engine::GoldenCase& golden) {
    const auto report =
        engine::verify_case(*model.runner, *model.tokenizer, golden, engine::precise_bounds(), 1);
    REQUIRE(report.has_value());
    return report->misses;
  };
  CHECK(misses(truth).empty());

  SECTION("a log-likelihood") {
    auto golden = truth;
    golden.nll[20] += 0.01F;
    CHECK(misses(golden).size() == 1);
  }
  SECTION("the order of the likeliest tokens") {
    auto golden = truth;
    std::swap(golden.top_ids[0], golden.top_ids[1]);
    CHECK(misses(golden).size() == 1);
  }
  SECTION("the greedy continuation") {
    auto golden = truth;
    golden.greedy_ids[3] += 1;
    CHECK(misses(golden) == std::vector<std::string>{"greedy step 4 differs"});
  }
  SECTION("the tokenizer") {
    auto golden = truth;
    golden.prompt += "x";
    CHECK(misses(golden) == std::vector<std::string>{"token ids differ"});
  }
  SECTION("ids the model does not have are an error, not a crash") {
    auto golden = truth;
    golden.input_ids[3] = 1 << 20;
    CHECK_FALSE(
        engine::verify_case(*model.runner, *model.tokenizer, golden, engine::precise_bounds(), 1)
            .has_value());
  }
}

TEST_CASE("broken golden files are refused with the reason") {
  const auto message = [](const std::string& json) {
    const auto file = engine::parse_golden_file(json, "g.json");
    return file ? std::string() : file.error().message;
  };
  CHECK(message("{").find("g.json is not a file of golden cases") == 0);
  CHECK(message(R"({"cases":[]})").find("holds no cases") != std::string::npos);
  CHECK(message(R"({"cases":[{"name":"a","prompt":"x","input_ids":[1,2],"nll":[],
      "last_top10_ids":[],"last_top10_logits":[],"greedy_ids":[],"greedy_margins":[]}]})")
            .find("case a: nll must have one number fewer") != std::string::npos);
}

}  // namespace
}  // namespace caretd::daemon
