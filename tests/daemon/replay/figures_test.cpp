#include "daemon/replay/figures.h"

#include <nlohmann/json.hpp>

#include "daemon/replay/report.h"
#include "tests/helpers/catch.h"

namespace caretd::daemon::replay {
namespace {

Duration ms(double value) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::milli>(value));
}

KeyRecord key(double answer, std::int64_t prompt, std::int64_t computed) {
  KeyRecord record;
  record.inside_line = true;
  record.answer = ms(answer);
  record.tokens = {prompt, prompt - computed, computed};
  return record;
}

KeyRecord key_with_ghost(double answer, Ghost ghost) {
  KeyRecord record = key(answer, 100, 2);
  record.ghost = ghost;
  return record;
}

TEST_CASE("quantiles are by nearest rank") {
  CHECK(quantiles_of({}).count == 0);
  const Quantiles one = quantiles_of({4});
  CHECK(one.p50 == 4);
  CHECK(one.p99 == 4);
  const Quantiles ten = quantiles_of({10, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  CHECK(ten.p50 == 5);
  CHECK(ten.p90 == 9);
  CHECK(ten.p99 == 10);
  CHECK(ten.most == 10);
}

TEST_CASE("an empty answer is no ghost, a missing one is late, and both count as keys") {
  KeyRecord late = key(0, 0, 0);
  late.answer.reset();
  const Figures f = figures_of({{.name = "a",
                                 .language = "c",
                                 .keys_without_suggestions = 4,
                                 .characters = 4,
                                 .keys = {key(1, 100, 3), late, key(5, 100, 9),
                                          key_with_ghost(7, {.characters = 5, .right = 5})}}});
  CHECK(f.keys == 4);
  CHECK(f.ghosts.count == 1);
  CHECK(f.ghosts.of == 4);
  CHECK(f.late.count == 1);
  CHECK(f.right.value() == Approx(0.25));
  CHECK(f.right_of_ghosts.value() == Approx(1));
  CHECK(f.time_to_ghost.count == 1);
  CHECK(f.time_to_ghost.p50 == Approx(7));
  CHECK(f.cached_tokens.count == 97 + 91 + 98);
  CHECK(f.cached_tokens.of == 300);
  // The late key computed nothing, which counts as 0.
  CHECK(f.computed_inside_line.count == 4);
  CHECK(f.computed_inside_line.p50 == 2);
  CHECK(f.asked_inside_line.count == 3);
}

TEST_CASE("a ghost that stays while it is typed shows its wrong characters once") {
  const Figures f =
      figures_of({{.name = "a",
                   .language = "c",
                   .keys_without_suggestions = 3,
                   .characters = 10,
                   .keys = {key_with_ghost(1, {.characters = 8, .right = 3}),
                            key_with_ghost(1, {.characters = 7, .right = 2, .goes_on = true}),
                            key_with_ghost(1, {.characters = 4, .right = 0})}}});
  CHECK(f.wrong_characters.count == 5 + 4);
  CHECK(f.wrong_characters.value() == Approx(0.9));
}

TEST_CASE("a next ghost is ready if it comes from the cache, of all full accepts") {
  KeyRecord ready = key_with_ghost(1, {.characters = 4, .right = 4, .from_cache = true});
  KeyRecord computed = key_with_ghost(9, {.characters = 4, .right = 4});
  KeyRecord empty = key(1, 0, 0);
  KeyRecord word = ready;
  ready.kind = computed.kind = empty.kind = KeyKind::accept;
  word.kind = KeyKind::accept_word;
  const Figures f = figures_of({{.name = "a",
                                 .language = "c",
                                 .keys_without_suggestions = 40,
                                 .characters = 40,
                                 .accepted_characters = 30,
                                 .keys = {ready, computed, empty, word}}});
  CHECK(f.next_ghost_ready.count == 1);
  CHECK(f.next_ghost_ready.of == 3);
  CHECK(f.word_accepts == 1);
  CHECK(f.saved.value() == Approx(0.9));
  CHECK(f.accepted_characters.value() == Approx(0.75));
  CHECK(f.time_to_model_ghost.count == 1);
}

TEST_CASE("typed as suggested counts what the server took, and what the cache could not answer") {
  KeyRecord cached = key_with_ghost(
      3, {.characters = 4, .right = 4, .goes_on = true, .from_cache = true, .in_server = ms(0.2)});
  KeyRecord asked = key_with_ghost(30, {.characters = 4, .in_server = ms(29)});
  cached.as_suggested = asked.as_suggested = true;
  const Figures f = figures_of({{.name = "a", .language = "c", .keys = {cached, asked}}});
  CHECK(f.typed_as_suggested_cached.count == 1);
  CHECK(f.typed_as_suggested_cached.of == 2);
  CHECK(f.typed_as_suggested.most == Approx(0.2));
}

TEST_CASE("figures are by language and together") {
  const std::vector<TypedFileRecord> files = {
      {.name = "a", .language = "c", .keys = {key(1, 0, 0)}},
      {.name = "b", .language = "go", .keys = {key(1, 0, 0), key(1, 0, 0)}},
      {.name = "c", .language = "c", .keys = {key(1, 0, 0)}}};
  const auto languages = figures_by_language(files);
  CHECK(languages.at("c").keys == 2);
  CHECK(languages.at("go").keys == 2);
  CHECK(figures_of(files).keys == 4);
  RunReport run = report_of(files);
  run.name = "gate 0.5";
  const nlohmann::json value = to_json(run);
  CHECK(value.at("languages").at("go").at("keys") == 2);
  CHECK(value.at("all").at("ghosts").at("of") == 4);
  CHECK(to_text(run).find("gate 0.5: 4 keys") != std::string::npos);
  CHECK(comparison({run, run}).find("| go | 0.00 / 0.0 % | 0.00 / 0.0 % |") != std::string::npos);
}

}  // namespace
}  // namespace caretd::daemon::replay
