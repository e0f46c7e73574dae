#include "lsp/features/completion_run.h"

#include <cmath>
#include <optional>
#include <string>

#include "tests/helpers/catch.h"

using namespace caretd;
using namespace caretd::lsp;

namespace {

class NeverEnds final : public StopRule {
 public:
  [[nodiscard]] std::optional<std::size_t> end_of_completion(std::string_view) override {
    return std::nullopt;
  }
  [[nodiscard]] std::string_view reason() const override { return "none"; }
};

/// A run with a gate of a half, fed token by token.
class GatedRun {
 public:
  explicit GatedRun(bool healing) { run_.prepare(std::make_unique<NeverEnds>(), healing, ""); }

  /// False: the gate ended the run in front of the token.
  bool feed(const std::string& text, double probability, float margin) {
    engine::TokenEvent token;
    token.text = text;
    token.logprob = static_cast<float>(std::log(probability));
    token.margin = margin;
    return run_.on_token(token) != engine::Verdict::stop_before;
  }

  RunResult finish() {
    run_.on_finish({});
    return *result_;
  }

 private:
  ManualClock clock_;
  std::optional<RunResult> result_;
  CompletionRun run_{PromptQuery{}, RunOptions{.min_probability = 0.5}, clock_,
                     [this](RunResult result) { result_ = std::move(result); }};
};

// The share against the runner-up, 1 / (1 + e^-margin), is 0.95 and 0.45.
constexpr float kSure = 3.0F;
constexpr float kUnsure = -0.2F;

}  // namespace

TEST_CASE("up to the first new character a healed token counts with its share against the next") {
  GatedRun run(true);
  CHECK(run.feed("", 0.01, kSure));     // spells what was typed
  CHECK(run.feed("lue", 0.01, kSure));  // brings the first new characters
  CHECK_FALSE(run.feed("(", 0.3, kSure));
  const RunResult result = run.finish();
  CHECK(result.text == "lue");
  CHECK(result.stop_reason == "probability");
  CHECK(result.tokens.size() == 2);
}

TEST_CASE("a first new character that is no better than the next ends the run") {
  GatedRun run(true);
  CHECK_FALSE(run.feed("lue", 0.9, kUnsure));
  CHECK(run.finish().text.empty());
}

TEST_CASE("the shares of healed tokens count together with what follows") {
  GatedRun run(true);
  CHECK(run.feed("", 0.01, 1.0F));  // 0.73
  CHECK(run.feed("lue", 0.01, kSure));
  CHECK(run.feed("(", 0.8, kUnsure));
  CHECK_FALSE(run.feed("x", 0.8, kUnsure));
  CHECK(run.finish().text == "lue(");
}

TEST_CASE("where nothing is healed every token counts with its probability") {
  GatedRun run(false);
  CHECK(run.feed("value", 0.6, kUnsure));
  CHECK_FALSE(run.feed("(", 0.01, kSure));
  CHECK(run.finish().text == "value");
}
