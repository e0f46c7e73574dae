// `caretd complete FILE:LINE:COLUMN`: one completion, for people, scripts and the demo.
#include <iostream>
#include <memory>

#include <nlohmann/json.hpp>
#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include "daemon/commands/commands.h"
#include "daemon/engines/loaded_engine.h"
#include "daemon/file_completion.h"

namespace caretd::daemon {

namespace {

struct CompleteOptions {
  std::string location;
  bool json = false;
  bool excerpt = false;
};

constexpr size_t kExcerptLines = 10;

double tokens_per_second(const FileCompletion& completion) {
  const double seconds = to_milliseconds(completion.usage.decode) / 1000;
  const int decoded = completion.usage.generated_tokens - 1;
  return seconds > 0 && decoded > 0 ? decoded / seconds : 0;
}

std::string statistics(const FileCompletion& completion, const engine::ModelInfo& model) {
  return fmt::format(
      "{} on {}: {} prompt tokens, first token after {:.0f} ms, {} tokens in {:.0f} ms ({:.0f} "
      "tokens/s)",
      model.name, model.device, completion.usage.prompt_tokens,
      to_milliseconds(completion.first_token), completion.usage.generated_tokens,
      to_milliseconds(completion.total), tokens_per_second(completion));
}

void print_json(const FileLocation& location, const FileCompletion& completion,
                const engine::ModelInfo& model) {
  const nlohmann::json value{
      {"file", location.file.string()},
      {"line", location.line},
      {"column", location.column},
      {"completion", completion.text},
      {"offset", completion.offset},
      {"replaceEnd", completion.replace_end},
      {"model", model.name},
      {"device", model.device},
      {"promptTokens", completion.usage.prompt_tokens},
      {"generatedTokens", completion.usage.generated_tokens},
      {"firstTokenMs", to_milliseconds(completion.first_token)},
      {"totalMs", to_milliseconds(completion.total)},
      {"tokensPerSecond", tokens_per_second(completion)},
  };
  std::cout << value.dump(2) << '\n';
}

/// The lines around the place, with the completion in green on a terminal and in [[ ]] elsewhere.
void print_excerpt(const lsp::Document& document, const FileCompletion& completion) {
  const bool color = isatty(STDOUT_FILENO) == 1;
  const auto& text = document.text;
  const size_t line = text.line_of(completion.offset);
  const size_t first = line - std::min(line, kExcerptLines);
  const size_t last = std::min(line + kExcerptLines, text.line_count() - 1);
  const auto view = text.view();
  const size_t begin = text.line_start(first);
  std::cout << "----\n"
            << view.substr(begin, completion.offset - begin) << (color ? "\033[1;32m" : "[[")
            << completion.text << (color ? "\033[0m" : "]]")
            << view.substr(completion.replace_end, text.line_end(last) - completion.replace_end)
            << "\n----\n";
}

int complete(const CommandContext& context, const CompleteOptions& options) {
  const auto location = parse_file_location(options.location);
  if (!location) {
    report_error(location.error());
    return kUsage;
  }
  const auto document = read_document(location->file);
  if (!document) return report_error(document.error());
  const Settings settings = context.settings();
  const SteadyClock clock;
  const auto engine = load_engine(context, settings, clock);
  if (!engine) return report_error(engine.error());
  const auto completion = complete_file(**engine, *document, *location, settings, clock);
  if (!completion) return report_error(completion.error());
  const auto model = (*engine)->model();
  if (options.json) {
    print_json(*location, *completion, *model);
  } else if (options.excerpt) {
    std::cout << "file: " << options.location << "\ncompletion: " << completion->text << '\n';
    print_excerpt(**document, *completion);
    std::cout << statistics(*completion, *model) << '\n';
  } else {
    std::cout << completion->text << '\n';
    if (isatty(STDERR_FILENO) == 1) std::cerr << statistics(*completion, *model) << '\n';
  }
  return kSuccess;
}

}  // namespace

void add_complete_command(CommandLine& line) {
  auto options = std::make_shared<CompleteOptions>();
  CLI::App& command =
      line.add("complete", "Print a completion for a place in a file",
               "caretd complete src/main.py:12:5\n"
               "caretd complete --excerpt src/main.py:12:5\n"
               "caretd complete --json --device cpu src/main.py:12:5 | jq -r .completion",
               [options](CommandContext& context) { return complete(context, *options); });
  command
      .add_option("location", options->location,
                  "FILE:LINE:COLUMN, counted from 1, columns in characters")
      ->required();
  auto* json =
      command.add_flag("--json", options->json, "Print the completion and its figures as JSON");
  command
      .add_flag("--excerpt", options->excerpt,
                "Print the lines around it with the completion in place")
      ->excludes(json);
}

}  // namespace caretd::daemon
