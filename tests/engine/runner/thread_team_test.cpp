#include "engine/cpu/thread_team.h"

#include <atomic>
#include <chrono>
#include <ctime>
#include <numeric>
#include <thread>
#include <vector>

#include "tests/helpers/catch.h"

using caretd::engine::ThreadTeam;

TEST_CASE("every item is done once, by a thread of the team, before the loop returns") {
  for (const int threads : {1, 2, 5}) {
    ThreadTeam team(threads);
    REQUIRE(team.size() == threads);
    for (int count = 0; count < 200; ++count) {
      std::vector<int> done(static_cast<std::size_t>(count));
      std::atomic<int> strangers{0};
      team.for_each(count, [&](int item, int thread) {
        ++done[static_cast<std::size_t>(item)];
        if (thread < 0 || thread >= threads) ++strangers;
      });
      REQUIRE(std::accumulate(done.begin(), done.end(), 0) == count);
      REQUIRE(std::count(done.begin(), done.end(), 1) == count);
      REQUIRE(strangers == 0);
    }
  }
}

TEST_CASE("no two items run on the same thread number at once") {
  ThreadTeam team(4);
  std::vector<std::atomic<int>> busy(4);
  std::atomic<int> clashes{0};
  for (int loop = 0; loop < 300; ++loop) {
    team.for_each(16, [&](int, int thread) {
      if (busy[static_cast<std::size_t>(thread)]++ != 0) ++clashes;
      --busy[static_cast<std::size_t>(thread)];
    });
  }
  CHECK(clashes == 0);
}

TEST_CASE("helpers that went to sleep wake up for the next loop") {
  ThreadTeam team(2);
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    // Each item waits for the other, so the loop ends only if the helper takes one.
    std::atomic<int> arrived{0};
    team.for_each(2, [&](int, int) {
      ++arrived;
      while (arrived < 2) std::this_thread::yield();
    });
    REQUIRE(arrived == 2);
  }
}

TEST_CASE("an idle team uses no processor time") {
  ThreadTeam team(4);
  team.for_each(8, [](int, int) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const std::clock_t before = std::clock();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const double used = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  CHECK(used < 0.02);
}
