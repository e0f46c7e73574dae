#include "daemon/file_completion.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <future>
#include <iterator>
#include <optional>
#include <utility>

#include <spdlog/fmt/fmt.h>

#include "daemon/session_settings.h"
#include "lsp/features/syntax_pipeline.h"
#include "lsp/postprocess/stop_rule.h"
#include "lsp/syntax/language.h"

namespace caretd::daemon {

namespace {

constexpr std::uintmax_t kLargestSourceFile = 64 << 20;

/// Cuts a trailing ":NUMBER" off `text`.
std::optional<std::uint32_t> cut_number(std::string_view& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::string_view digits = text.substr(colon + 1);
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc{} || end != digits.data() + digits.size() || number == 0) {
    return std::nullopt;
  }
  text = text.substr(0, colon);
  return number;
}

/// The 1-based line of the first byte that is not UTF-8.
size_t first_bad_line(std::string_view text) {
  size_t line = 1;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
    if (!lsp::is_valid_utf8(text.substr(0, end))) return line;
    text.remove_prefix(end);
    ++line;
  }
  return line;
}

/// Collects one request's text and its times, and applies the stop rule.
class CompletionSink final : public engine::TokenSink {
 public:
  CompletionSink(std::unique_ptr<lsp::StopRule> rule, const Clock& clock)
      : rule_(std::move(rule)), clock_(clock) {}

  engine::Verdict on_token(const engine::TokenEvent& token) override {
    if (!first_token_) first_token_ = clock_.now();
    text_ += token.text;
    end_ = rule_->end_of_completion(text_);
    return end_ ? engine::Verdict::stop_after : engine::Verdict::go_on;
  }

  void on_finish(const engine::Generation& generation) override {
    text_ = generation.text.substr(0, end_.value_or(generation.text.size()));
    done_.set_value(generation);
  }

  engine::Generation wait() { return done_.get_future().get(); }
  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] std::optional<TimePoint> first_token() const { return first_token_; }

 private:
  const std::unique_ptr<lsp::StopRule> rule_;
  const Clock& clock_;
  std::string text_;
  std::optional<std::size_t> end_;
  std::optional<TimePoint> first_token_;
  std::promise<engine::Generation> done_;
};

engine::GenerationRequest make_request(const lsp::CompletionPrompt& prompt,
                                       const CompletionSettings& settings) {
  engine::GenerationRequest request;
  request.prompt = prompt.prompt;
  request.forced_prefix = prompt.forced_prefix;
  request.max_tokens = static_cast<int>(settings.max_tokens);
  return request;
}

/// What a session would ask at this place when the user asks for it, in a workspace of one file.
lsp::CompletionPlan plan_completion(const engine::Engine& engine, const lsp::PromptQuery& query,
                                    const Settings& settings) {
  const auto model = engine.model();
  const int window = model->context_tokens - static_cast<int>(settings.completion.max_tokens);
  lsp::PlanRequest request;
  request.query = query;
  request.invoked = true;
  request.budget.tokens = std::min(static_cast<int>(settings.completion.prompt_tokens), window);
  request.model = {model, engine.tokenizer()};
  request.settings = to_session_settings(settings);
  const auto documents = std::make_shared<lsp::DocumentStore>(1);
  const auto pipeline = std::make_shared<lsp::SyntaxPipeline>(documents, read_ignore_file);
  return pipeline->plan(request);
}

}  // namespace

Result<FileLocation> parse_file_location(const std::string& text) {
  std::string_view rest = text;
  const auto column = cut_number(rest);
  const auto line = column ? cut_number(rest) : std::nullopt;
  if (!line || rest.empty()) {
    return fail(ErrorKind::invalid_input,
                "'" + text + "' is not FILE:LINE:COLUMN with LINE and COLUMN counted from 1");
  }
  return FileLocation{std::filesystem::path(rest), *line, *column};
}

Result<lsp::DocumentSnapshot> read_document(const std::filesystem::path& file) {
  std::error_code error;
  const auto size = std::filesystem::file_size(file, error);
  if (error) return fail(ErrorKind::not_found, file.string() + ": " + error.message());
  if (size > kLargestSourceFile) {
    return fail(ErrorKind::invalid_input, file.string() + " is larger than 64 MiB");
  }
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return fail(ErrorKind::io, file.string() + " cannot be read");
  std::string text((std::istreambuf_iterator<char>(stream)), {});
  if (!lsp::is_valid_utf8(text)) {
    return fail(ErrorKind::invalid_input,
                fmt::format("{} is not UTF-8 (line {}); convert it, for example with iconv",
                            file.string(), first_bad_line(text)));
  }
  const std::string uri = "file://" + std::filesystem::absolute(file).string();
  const auto& language = lsp::find_language("", file.string());
  lsp::DocumentStore store(1);
  return store.open(uri, std::string(language.id), 0, std::move(text));
}

Result<FileCompletion> complete_file(engine::Engine& engine, const lsp::DocumentSnapshot& document,
                                     const FileLocation& location, const Settings& settings,
                                     const Clock& clock) {
  const auto& text = document->text;
  if (location.line > text.line_count()) {
    return fail(ErrorKind::invalid_input,
                fmt::format("{} has {} lines; there is no line {}", location.file.string(),
                            text.line_count(), location.line));
  }
  if (!engine.model()) return fail(ErrorKind::unavailable, "the model is not loaded");
  FileCompletion completion;
  completion.offset =
      text.offset_at({location.line - 1, location.column - 1}, lsp::PositionEncoding::utf32);
  completion.replace_end = completion.offset;
  const TimePoint begin = clock.now();
  auto plan =
      plan_completion(engine, {document, completion.offset, {}, completion.offset}, settings);
  if (!plan.refusal.empty()) {
    return fail(ErrorKind::unsupported, "nothing is completed here: " + plan.refusal);
  }
  auto sink = std::make_shared<CompletionSink>(std::move(plan.stop_rule), clock);
  engine.submit(make_request(plan.prompt, settings.completion), sink);
  const engine::Generation generation = sink->wait();
  if (generation.error) return fail(generation.error->kind, generation.error->message);
  const TimePoint end = clock.now();
  if (const auto finished = plan.finish(sink->text())) {
    completion.text = finished->text;
    completion.replace_end = std::max(finished->end, completion.offset);
  }
  completion.usage = generation.usage;
  completion.first_token = sink->first_token().value_or(end) - begin;
  completion.total = end - begin;
  return completion;
}

}  // namespace caretd::daemon
