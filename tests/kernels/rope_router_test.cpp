#include <cmath>
#include <limits>
#include <numbers>
#include <set>
#include <vector>

#include "kernels/cpu/rope.h"
#include "kernels/cpu/router.h"
#include "tests/helpers/catch.h"

using namespace caretd::kernels::cpu;

namespace {

std::vector<ChosenExpert> choose(const Routing& routing, std::vector<float> logits) {
  std::vector<ChosenExpert> chosen(static_cast<std::size_t>(routing.experts_per_token));
  choose_experts(routing, logits, chosen);
  return chosen;
}

std::vector<int> experts_of(const std::vector<ChosenExpert>& chosen) {
  std::vector<int> result;
  for (const ChosenExpert& choice : chosen) result.push_back(choice.expert);
  return result;
}

float log_of(double probability) {
  return static_cast<float>(std::log(probability));
}

}  // namespace

TEST_CASE("rotation turns neighbouring pairs by position times frequency") {
  const std::vector<double> frequencies{std::numbers::pi / 2, std::numbers::pi / 8};
  float cosines[2];
  float sines[2];
  rope_angles(2, frequencies, 1.0, cosines, sines);
  float x[4] = {1.0F, 2.0F, 3.0F, 0.0F};
  rotate_pairs(x, cosines, sines, 2);
  CHECK(x[0] == Approx(-1.0));  // half a turn
  CHECK(x[1] == Approx(-2.0));
  CHECK(x[2] == Approx(3.0 * std::numbers::sqrt2 / 2));  // an eighth of a turn
  CHECK(x[3] == Approx(3.0 * std::numbers::sqrt2 / 2));
  rope_angles(0, frequencies, 1.5, cosines, sines);
  CHECK(cosines[0] == 1.5F);
  CHECK(sines[1] == 0.0F);
}

TEST_CASE("greedy routing takes the largest probabilities as they are, times the scaling") {
  const Routing routing{.experts = 4, .experts_per_token = 2, .scaling = 16.0F};
  const auto chosen = choose(routing, {log_of(0.1), log_of(0.5), log_of(0.1), log_of(0.3)});
  CHECK(experts_of(chosen) == std::vector<int>{1, 3});
  CHECK(chosen[0].weight == Approx(8.0));
  CHECK(chosen[1].weight == Approx(4.8));
}

TEST_CASE("normalised routing divides by the sum of what was chosen") {
  const Routing routing{.experts = 4, .experts_per_token = 2, .normalize = true, .scaling = 1.0F};
  const auto chosen = choose(routing, {log_of(0.1), log_of(0.5), log_of(0.1), log_of(0.3)});
  CHECK(chosen[0].weight == Approx(0.625));
  CHECK(chosen[1].weight == Approx(0.375));
}

TEST_CASE("group-limited routing leaves out groups whose best expert is not good enough") {
  // Groups by their best expert: 0.30, 0.05, 0.25, 0.06. The second largest probability of all
  // sits in the first group, the third largest of the kept ones in the third group.
  const Routing routing{.experts = 8, .experts_per_token = 3, .groups = 4, .groups_per_token = 2};
  const auto chosen = choose(routing, {log_of(0.30), log_of(0.26), log_of(0.05), log_of(0.04),
                                       log_of(0.25), log_of(0.01), log_of(0.06), log_of(0.03)});
  CHECK(experts_of(chosen) == std::vector<int>{0, 1, 4});
  CHECK(chosen[2].weight == Approx(0.25));
  const Routing one_group{.experts = 8, .experts_per_token = 3, .groups = 4, .groups_per_token = 1};
  const auto masked = choose(one_group, {log_of(0.30), log_of(0.26), log_of(0.05), log_of(0.04),
                                         log_of(0.25), log_of(0.01), log_of(0.06), log_of(0.03)});
  CHECK(experts_of(masked) == std::vector<int>{0, 1, 2});
  CHECK(masked[2].weight == 0.0F);  // of a group that was left out
}

TEST_CASE("equal probabilities and equal groups go to the lower index") {
  const Routing routing{.experts = 8, .experts_per_token = 3, .groups = 4, .groups_per_token = 2};
  CHECK(experts_of(choose(routing, std::vector<float>(8, 1.0F))) == std::vector<int>{0, 1, 2});
}

TEST_CASE("logits that are not numbers still name valid, different experts") {
  const Routing routing{.experts = 6, .experts_per_token = 4, .groups = 2, .groups_per_token = 1};
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  for (const std::vector<float>& logits :
       {std::vector<float>(6, nan), std::vector<float>{infinity, infinity, nan, 0, 0, 0},
        std::vector<float>(6, -infinity)}) {
    const std::vector<int> experts = experts_of(choose(routing, logits));
    const std::set<int> different(experts.begin(), experts.end());
    CHECK(different.size() == 4);
    CHECK(*different.begin() >= 0);
    CHECK(*different.rbegin() < 6);
  }
}
