#include "support/bounded_queue.h"

#include <thread>

#include "tests/helpers/catch.h"

using caretd::BoundedQueue;

TEST_CASE("a full or closed queue refuses and says so") {
  BoundedQueue<int> queue(2);
  CHECK(queue.try_push(1));
  CHECK(queue.try_push(2));
  CHECK_FALSE(queue.try_push(3));
  CHECK(queue.pop() == 1);
  queue.close();
  CHECK_FALSE(queue.try_push(4));
  CHECK(queue.pop() == 2);
  CHECK_FALSE(queue.pop().has_value());
}

TEST_CASE("closing wakes a waiting consumer") {
  BoundedQueue<int> queue(1);
  bool woke_empty = false;
  std::thread consumer([&] { woke_empty = !queue.pop().has_value(); });
  queue.close();
  consumer.join();
  CHECK(woke_empty);
}
