#include "lsp/postprocess/gate.h"

#include <cmath>

#include "tests/helpers/catch.h"

using namespace caretd;
using namespace caretd::lsp;

namespace {

engine::TokenEvent token(double probability, float margin = 0.0F) {
  engine::TokenEvent event;
  event.logprob = static_cast<float>(std::log(probability));
  event.margin = margin;
  return event;
}

}  // namespace

TEST_CASE("a run is cut where its joint probability falls below the threshold") {
  JointProbability run(0.5);
  CHECK(run.admits(token(0.9), false));
  CHECK(run.admits(token(0.7), false));
  CHECK_FALSE(run.admits(token(0.7), false));
  CHECK(std::exp(run.log_probability()) == Approx(0.63).epsilon(1e-4));
  CHECK(run.admits(token(0.9), false));
}

TEST_CASE("a healed token is judged among the tokens it could be") {
  JointProbability run(0.5);
  CHECK(run.admits(token(0.001, 8.0F), true));
  CHECK_FALSE(run.admits(token(0.001, -0.1F), true));
  CHECK_FALSE(run.admits(token(0.001, 8.0F), false));
}

TEST_CASE("without a threshold everything is admitted") {
  JointProbability run(0.0);
  for (int i = 0; i < 100; ++i) CHECK(run.admits(token(1e-6), false));
}

TEST_CASE("the threshold depends on trigger and language") {
  const GatePolicy policy{.automatic = 0.5, .invoked = 0.0, .per_language = {{"markdown", 0.8}}};
  CHECK(policy.threshold("python", true) == 0.5);
  CHECK(policy.threshold("markdown", true) == 0.8);
  CHECK(policy.threshold("markdown", false) == 0.0);
}
