#include "support/executor.h"

#include <atomic>
#include <vector>

#include "tests/helpers/catch.h"

using caretd::Strand;
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
