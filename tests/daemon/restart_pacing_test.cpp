#include "daemon/relay/restart_pacing.h"

#include "tests/helpers/catch.h"

namespace caretd::daemon {
namespace {

using std::chrono::milliseconds;

TEST_CASE("daemons that end one after the other are replaced ever later, and then no more") {
  RestartPacing pacing;
  const ManualClock clock;
  CHECK(pacing.on_loss(clock.now()) == Duration::zero());
  Duration before = Duration::zero();
  for (int i = 2; i < kMostLosses; ++i) {
    const auto pause = pacing.on_loss(clock.now());
    REQUIRE(pause);
    CHECK((*pause > before || *pause == kLongestRestartPause));
    CHECK(*pause <= kLongestRestartPause);
    before = *pause;
  }
  CHECK_FALSE(pacing.on_loss(clock.now()));
}

TEST_CASE("one that ends now and then is replaced at once") {
  RestartPacing pacing;
  ManualClock clock;
  for (int i = 0; i < 3 * kMostLosses; ++i) {
    CHECK(pacing.on_loss(clock.now()) == Duration::zero());
    clock.advance(kRestartWindow + milliseconds(1));
  }
}

TEST_CASE("one that was of use is replaced at once, whatever was before it") {
  RestartPacing pacing;
  const ManualClock clock;
  for (int i = 0; i < 3 * kMostLosses; ++i) {
    REQUIRE(pacing.on_loss(clock.now()));
    REQUIRE(pacing.on_loss(clock.now()));
    pacing.forget();
    CHECK(pacing.on_loss(clock.now()) == Duration::zero());
  }
}

}  // namespace
}  // namespace caretd::daemon
