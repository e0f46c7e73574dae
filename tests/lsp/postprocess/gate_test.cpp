#include "lsp/postprocess/gate.h"

#include <cmath>

#include "tests/helpers/catch.h"

using namespace caretd;
using namespace caretd::lsp;

namespace {

// `allowed`: of all tokens together that healing allowed.
engine::TokenEvent token(double probability, double allowed = 1.0, float margin = 0.0F) {
  engine::TokenEvent event;
  event.margin = margin;
  event.logprob = static_cast<float>(std::log(probability));
  event.allowed_logprob = static_cast<float>(std::log(allowed));
  return event;
}

}  // namespace

TEST_CASE("a run is cut where its joint probability falls below the threshold") {
  JointProbability run(0.5);
  CHECK(run.admits(token(0.9)));
  CHECK(run.admits(token(0.7)));
  CHECK_FALSE(run.admits(token(0.7)));
  CHECK(std::exp(run.log_probability()) == Approx(0.63).epsilon(1e-4));
  CHECK(run.admits(token(0.9)));
}

TEST_CASE("a healed token is judged against the runner-up, not by what the typed text rules out") {
  JointProbability run(0.5);
  CHECK_FALSE(run.admits(token(0.001)));
  CHECK_FALSE(run.admits(token(0.001, 0.01, -0.1F)));
  CHECK(run.admits(token(0.001, 0.01, 8.0F)));
  CHECK(std::exp(run.log_probability()) == Approx(1.0 / (1.0 + std::exp(-8.0))).epsilon(1e-4));
}

TEST_CASE("without a threshold everything is admitted") {
  JointProbability run(0.0);
  for (int i = 0; i < 100; ++i) CHECK(run.admits(token(1e-6)));
}

TEST_CASE("the threshold depends on trigger and language") {
  const GatePolicy policy{.automatic = 0.5, .invoked = 0.0, .per_language = {{"markdown", 0.8}}};
  CHECK(policy.threshold("python", true) == 0.5);
  CHECK(policy.threshold("markdown", true) == 0.8);
  CHECK(policy.threshold("markdown", false) == 0.0);
}
