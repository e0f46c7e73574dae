#include "support/executor.h"

#include <atomic>
#include <future>
#include <vector>

#include "tests/helpers/catch.h"

using caretd::LimitedExecutor;
using caretd::Strand;
using caretd::TaskThreads;
using caretd::ThreadPool;

TEST_CASE("a thread pool runs everything posted before it is destroyed") {
  std::atomic<int> ran = 0;
  {
    ThreadPool pool(3);
    for (int i = 0; i < 1000; ++i) pool.post([&] { ++ran; });
  }
  CHECK(ran == 1000);
}

TEST_CASE("a strand keeps the order and never runs two tasks at once") {
  std::vector<int> order;
  std::atomic<int> inside = 0;
  bool overlapped = false;
  {
    ThreadPool pool(4);
    Strand strand(pool);
    for (int i = 0; i < 500; ++i) {
      strand.post([&, i] {
        if (++inside != 1) overlapped = true;
        order.push_back(i);
        --inside;
      });
    }
  }
  CHECK_FALSE(overlapped);
  REQUIRE(order.size() == 500);
  CHECK(std::is_sorted(order.begin(), order.end()));
}

TEST_CASE("a limited executor runs so many tasks at once, and no more") {
  std::atomic<int> inside = 0;
  std::atomic<bool> too_many = false;
  std::atomic<int> ran = 0;
  std::promise<void> met;
  {
    ThreadPool pool(4);
    LimitedExecutor two(pool, 2);
    for (int i = 0; i < 500; ++i) {
      two.post([&, i] {
        if (++inside > 2) too_many = true;
        // The first two tasks wait for each other: both have to be running.
        if (i == 0) met.get_future().wait();
        if (i == 1) met.set_value();
        ++ran;
        --inside;
      });
    }
  }
  CHECK_FALSE(too_many);
  CHECK(ran == 500);
}

TEST_CASE(
    "long tasks leave a thread to the short ones, and both may post to each other at the end") {
  std::atomic<int> ran = 0;
  {
    std::promise<void> short_one_ran;
    const auto blocked = short_one_ran.get_future().share();
    TaskThreads threads(1, 2);
    for (int i = 0; i < 8; ++i) {
      threads.long_tasks().post([&, blocked] {
        blocked.wait();
        threads.short_tasks().post([&] { threads.long_tasks().post([&] { ++ran; }); });
      });
    }
    threads.short_tasks().post([&] { short_one_ran.set_value(); });
  }
  CHECK(ran == 8);
}

TEST_CASE("a strand with much to do leaves room for another") {
  constexpr int kFlood = 10'000;
  std::atomic<int> flooded = 0;
  int flooded_before_the_other = kFlood;
  std::promise<void>
      posted;  // outlives the pool, whose first task may begin when the rest is posted
  {
    ThreadPool pool(1);
    Strand greedy(pool);
    Strand modest(pool);
    greedy.post([&] { posted.get_future().wait(); });
    for (int i = 0; i < kFlood; ++i) greedy.post([&] { ++flooded; });
    modest.post([&] { flooded_before_the_other = flooded; });
    posted.set_value();
  }
  CHECK(flooded == kFlood);
  CHECK(flooded_before_the_other < 100);
}
