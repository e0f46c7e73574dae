#include "lsp/features/statistics.h"

#include <chrono>

#include "lsp/protocol/caretd_types.h"
#include "tests/helpers/catch.h"

using namespace caretd::lsp;
using std::chrono::milliseconds;

TEST_CASE("percentiles are those of the latest answers, cache and model apart") {
  Statistics statistics;
  for (int i = 1; i <= 100; ++i) statistics.count_answer(AnswerSource::model, milliseconds(i));
  statistics.count_answer(AnswerSource::cache, milliseconds(7));
  const StatisticsSnapshot snapshot = statistics.snapshot();
  CHECK(snapshot.latency_model.p50 == 50);
  CHECK(snapshot.latency_model.p90 == 90);
  CHECK(snapshot.latency_model.p99 == 99);
  CHECK(snapshot.latency_cache.p50 == 7);
  CHECK(snapshot.from_model == 100);
  CHECK(Statistics().snapshot().latency_model.p99 == 0);

  for (std::size_t i = 0; i < Statistics::kRememberedLatencies; ++i) {
    statistics.count_answer(AnswerSource::taken_over, milliseconds(1));
  }
  CHECK(statistics.snapshot().latency_model.p99 == 1);
}

TEST_CASE("counters and latencies survive being written and read") {
  Statistics before;
  before.count_answer(AnswerSource::model, milliseconds(30));
  before.count_answer(AnswerSource::cache, milliseconds(1));
  before.count_next_ready();
  before.count_request();
  before.count_empty();
  before.count_shown("go");
  before.count_accepted(Acceptance::full, 12, "go");
  before.count_accepted(Acceptance::words, 5, "c");
  before.count_accepted(Acceptance::typed, 9, "c");
  before.count_kept(true);
  before.count_tokens(4, 3, 2, 1);
  const Json shown = before.snapshot();
  const Json written = before.unwritten();

  Statistics after;
  after.restore(read_json<StatisticsRecord>(written).value());
  CHECK(Json(after.snapshot()) == shown);
  CHECK(after.snapshot().languages.at("go").characters == 12);
  CHECK(after.snapshot().latency_model.p90 == 30);
  CHECK(after.unwritten().empty());
}

TEST_CASE("what was not written is given to the writer again, what was is not") {
  Statistics statistics;
  statistics.count_shown("go");
  CHECK(statistics.unwritten().counters.shown == 1);
  statistics.count_shown("go");
  CHECK(statistics.unwritten().counters.shown == 2);
  statistics.count_shown("go");
  statistics.written();
  CHECK(statistics.snapshot().shown == 3);
  CHECK(statistics.snapshot().languages.at("go").shown == 3);
  CHECK(statistics.unwritten().counters.shown == 1);
}

TEST_CASE("a file of counters that was tampered with is refused") {
  CHECK_FALSE(read_json<StatisticsSnapshot>(Json::array()).has_value());
  CHECK_FALSE(read_json<StatisticsSnapshot>(Json{{"shown", "many"}}).has_value());
  CHECK_FALSE(read_json<StatisticsSnapshot>(Json{{"languages", 3}}).has_value());
  CHECK_FALSE(read_json<StatisticsSnapshot>(Json{{"languages", {{"go", 3}}}}).has_value());
  CHECK_FALSE(read_json<StatisticsSnapshot>(Json{{"shown", -1}}).has_value());
  CHECK_FALSE(read_json<StatisticsSnapshot>(Json{{"shown", 1e18}}).has_value());
  CHECK_FALSE(read_json<StatisticsRecord>(Json{{"recentModelMs", {"x"}}}).has_value());
}
