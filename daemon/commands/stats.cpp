// `caretd stats`: what was suggested and what became of it, counted on this machine.
#include <iostream>
#include <memory>
#include <string>

#include <spdlog/fmt/fmt.h>

#include "daemon/commands/commands.h"
#include "daemon/statistics_file.h"
#include "lsp/protocol/caretd_types.h"

namespace caretd::daemon {

namespace {

std::string share(std::int64_t part, std::int64_t whole) {
  if (whole == 0) return "-";
  return fmt::format("{:.1f} %", 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

void print_line(const std::string& name, std::int64_t count, const std::string& note = {}) {
  std::cout << fmt::format("{:<34}{:>12}", name, count) << (note.empty() ? "" : "   " + note)
            << '\n';
}

void print_requests(const lsp::StatisticsSnapshot& s) {
  std::cout << "Requests\n";
  print_line("  all", s.requests);
  print_line("  answered by the model", s.from_model, share(s.from_model, s.requests));
  print_line("  answered from the cache", s.from_cache, share(s.from_cache, s.requests));
  print_line("  taken over from an older one", s.taken_over, share(s.taken_over, s.requests));
  print_line("  nothing worth showing", s.empty, share(s.empty, s.requests));
  print_line("  given up for a newer one", s.superseded, share(s.superseded, s.requests));
}

void print_suggestions(const lsp::StatisticsSnapshot& s) {
  const std::int64_t accepted = s.accepted_full + s.accepted_words;
  std::cout << "Suggestions\n";
  print_line("  shown", s.shown);
  print_line("  accepted as a whole", s.accepted_full, share(s.accepted_full, s.shown));
  print_line("  accepted in parts", s.accepted_words, share(s.accepted_words, s.shown));
  print_line("  typed as suggested", s.typed_through, share(s.typed_through, s.shown));
  print_line("  next one ready after a whole", s.next_ready, share(s.next_ready, s.accepted_full));
  print_line("  kept for half a minute", s.kept, share(s.kept, s.kept + s.changed));
  print_line("  bytes accepted", s.accepted_characters);
  for (const auto& [language, counts] : s.languages) {
    print_line("    " + language, counts.accepted,
               fmt::format("of {} shown, {} bytes", counts.shown, counts.characters));
  }
  if (accepted == 0 && s.shown == 0) std::cout << "  (none yet)\n";
}

void print_latencies(const std::string& name, const lsp::Percentiles& p) {
  std::cout << fmt::format("{:<34}{:>12.1f}{:>10.1f}{:>10.1f}\n", name, p.p50, p.p90, p.p99);
}

void print_human(const lsp::StatisticsSnapshot& s) {
  print_requests(s);
  print_suggestions(s);
  std::cout << fmt::format("{:<34}{:>12}{:>10}{:>10}\n", "Milliseconds to an answer", "p50", "p90",
                           "p99");
  print_latencies("  by the model", s.latency_model);
  print_latencies("  from the cache", s.latency_cache);
  std::cout << "Tokens\n";
  print_line("  of prompts", s.prompt_tokens);
  print_line("  found in the KV cache", s.cached_tokens, share(s.cached_tokens, s.prompt_tokens));
  print_line("  computed", s.computed_tokens, share(s.computed_tokens, s.prompt_tokens));
  print_line("  generated", s.generated_tokens);
}

int stats(const CommandContext& context, bool json) {
  const auto record = read_statistics(context.folders.state / kStatisticsFileName);
  if (!record) return report_error(record.error());
  const lsp::StatisticsSnapshot summary = record->summary();
  if (json) {
    std::cout << lsp::Json(summary).dump(2) << '\n';
  } else {
    print_human(summary);
  }
  return kSuccess;
}

}  // namespace

void add_stats_command(CommandLine& line) {
  auto json = std::make_shared<bool>(false);
  CLI::App& command =
      line.add("stats", "Print what was suggested, accepted and how fast, kept on this machine",
               "caretd stats\n"
               "caretd stats --json | jq .latencyModelMs.p90",
               [json](CommandContext& context) { return stats(context, *json); });
  command.add_flag("--json", *json, "Print the counters as JSON (docs/protocol.md, caretd/stats)");
}

}  // namespace caretd::daemon
