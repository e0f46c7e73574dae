#include "daemon/replay/report.h"

#include <nlohmann/json.hpp>
#include <spdlog/fmt/fmt.h>

namespace caretd::daemon::replay {

namespace {

using nlohmann::json;

json to_json(const Quantiles& value) {
  return {{"count", value.count},
          {"p50", value.p50},
          {"p90", value.p90},
          {"p99", value.p99},
          {"max", value.most}};
}

json to_json(const Share& share) {
  return {{"count", share.count}, {"of", share.of}, {"share", share.value()}};
}

json to_json(const Figures& figures) {
  return {{"keys", figures.keys},
          {"keysWithoutSuggestions", figures.keys_without_suggestions},
          {"characters", figures.characters},
          {"timeToGhostMs", to_json(figures.time_to_ghost)},
          {"timeToModelGhostMs", to_json(figures.time_to_model_ghost)},
          {"typedAsSuggestedServerMs", to_json(figures.typed_as_suggested)},
          {"typedAsSuggestedCached", to_json(figures.typed_as_suggested_cached)},
          {"ghosts", to_json(figures.ghosts)},
          {"right", to_json(figures.right)},
          {"rightOfGhosts", to_json(figures.right_of_ghosts)},
          {"late", to_json(figures.late)},
          {"wrongCharacters", to_json(figures.wrong_characters)},
          {"keysSaved", to_json(figures.saved)},
          {"acceptedCharacters", to_json(figures.accepted_characters)},
          {"nextGhostReady", to_json(figures.next_ghost_ready)},
          {"wordAccepts", figures.word_accepts},
          {"cachedTokens", to_json(figures.cached_tokens)},
          {"computedTokensInsideLine", to_json(figures.computed_inside_line)},
          {"computedTokensElsewhere", to_json(figures.computed_elsewhere)},
          {"modelAskedInsideLine", to_json(figures.asked_inside_line)},
          {"backgroundTokensPerKey", figures.background_tokens},
          {"generatedTokensPerKey", figures.generated_tokens}};
}

json to_json(const ExactnessReport& report) {
  return {{"requests", report.requests},   {"ahead", report.background},
          {"tokens", report.tokens},       {"ties", report.ties},
          {"different", report.different}, {"largestMargin", report.largest_margin},
          {"examples", report.examples}};
}

std::string row(std::string_view name, const std::string& value) {
  return fmt::format("  {:<34}{}\n", name, value);
}

std::string times(const Quantiles& value, std::string_view of) {
  return fmt::format("p50 {:.1f}, p90 {:.1f}, p99 {:.1f} ms ({} {})", value.p50, value.p90,
                     value.p99, value.count, of);
}

std::string share(const Share& value, std::string_view of) {
  return fmt::format("{:.1f} % ({} of {} {})", 100 * value.value(), value.count, value.of, of);
}

std::string tokens(const Quantiles& value) {
  return fmt::format("median {:.0f}, p90 {:.0f}, p99 {:.0f} ({} keys)", value.p50, value.p90,
                     value.p99, value.count);
}

std::string figures_text(const Figures& f) {
  std::string out;
  out += row("time to ghost", times(f.time_to_ghost, "keys with a ghost"));
  out += row("  of those asking the model", times(f.time_to_model_ghost, "keys"));
  out += row("typed as suggested, in the server", times(f.typed_as_suggested, "cached answers"));
  out += row("  answered from the cache", share(f.typed_as_suggested_cached, "such keys"));
  out += row("ghosts", share(f.ghosts, "keys"));
  out += row("right as a whole",
             share(f.right, "keys") +
                 fmt::format(", {:.1f} % of ghosts", 100 * f.right_of_ghosts.value()));
  out += row("answer after the next key", share(f.late, "keys"));
  out += row("wrong characters shown",
             fmt::format("{:.2f} for each character typed ({} of {})", f.wrong_characters.value(),
                         f.wrong_characters.count, f.wrong_characters.of));
  out += row("keys saved", share(f.saved, "without suggestions"));
  out += row("next ghost ready", share(f.next_ghost_ready, "full accepts") +
                                     fmt::format(", {} accepts by word", f.word_accepts));
  out += row("prompt tokens from the cache", share(f.cached_tokens, "tokens"));
  out += row("prompt tokens computed, in a line", tokens(f.computed_inside_line));
  out += row("  keys that asked the model", share(f.asked_inside_line, "keys in a line"));
  out += row("prompt tokens computed, elsewhere", tokens(f.computed_elsewhere));
  out += row("computed ahead, generated", fmt::format("{:.1f} prompt tokens, {:.1f} tokens a key",
                                                      f.background_tokens, f.generated_tokens));
  return out;
}

std::string exactness_text(const ExactnessReport& report) {
  std::string out =
      row("exact", fmt::format("{} requests ({} decoded ahead), {} tokens: {} part at a tie, {} "
                               "differ otherwise",
                               report.requests, report.background, report.tokens, report.ties,
                               report.different));
  for (const std::string& example : report.examples) out += row("", example);
  return out;
}

}  // namespace

RunReport report_of(const std::vector<TypedFileRecord>& files) {
  RunReport report;
  report.all = figures_of(files);
  report.languages = figures_by_language(files);
  return report;
}

nlohmann::json to_json(const RunReport& run) {
  json value{
      {"name", run.name}, {"gate", run.gate}, {"stops", run.stops}, {"all", to_json(run.all)}};
  for (const auto& [language, figures] : run.languages) {
    value["languages"][language] = to_json(figures);
  }
  if (run.exactness) value["exactness"] = to_json(*run.exactness);
  return value;
}

std::string to_text(const RunReport& run) {
  std::string out =
      fmt::format("{}: {} keys for {} characters\n", run.name, run.all.keys, run.all.characters);
  out += figures_text(run.all);
  if (run.exactness) out += exactness_text(*run.exactness);
  return out;
}

std::string comparison(const std::vector<RunReport>& runs) {
  if (runs.empty()) return {};
  std::string out = "wrong characters shown for each character typed / keys saved\n\n| language |";
  std::string rule = "\n|---|";
  for (const RunReport& run : runs) {
    out += " " + run.name + " |";
    rule += "---|";
  }
  out += rule + '\n';
  const auto cell = [](const Figures& figures) {
    return fmt::format(" {:.2f} / {:.1f} % |", figures.wrong_characters.value(),
                       100 * figures.saved.value());
  };
  for (const auto& [language, ignored] : runs.front().languages) {
    out += "| " + language + " |";
    for (const RunReport& run : runs) out += cell(run.languages.at(language));
    out += '\n';
  }
  out += "| all |";
  for (const RunReport& run : runs) out += cell(run.all);
  return out + '\n';
}

}  // namespace caretd::daemon::replay
