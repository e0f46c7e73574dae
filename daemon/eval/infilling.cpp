#include "daemon/eval/infilling.h"

#include <algorithm>
#include <future>
#include <memory>
#include <utility>

#include "lsp/context/anchored_prompt.h"
#include "lsp/context/plain_prompt.h"
#include "lsp/syntax/language.h"
#include "lsp/syntax/source_tokens.h"
#include "support/clock.h"

namespace caretd::daemon {

namespace {

/// Waits for one generation; ends it when the expected number of lines is there.
class LineLimitSink final : public engine::TokenSink {
 public:
  explicit LineLimitSink(std::ptrdiff_t lines) : lines_(lines) {}

  engine::Verdict on_token(const engine::TokenEvent& token) override {
    text_ += token.text;
    const bool enough = std::ranges::count(text_, '\n') >= lines_;
    return enough ? engine::Verdict::stop_after : engine::Verdict::go_on;
  }
  void on_finish(const engine::Generation& generation) override { done_.set_value(generation); }

  engine::Generation wait() { return done_.get_future().get(); }

 private:
  const std::ptrdiff_t lines_;
  std::string text_;
  std::promise<engine::Generation> done_;
};

/// Lines that the expected text touches, its last terminator left out.
std::ptrdiff_t lines_of(std::string_view expected) {
  const auto newlines = std::ranges::count(expected, '\n');
  return expected.ends_with('\n') ? newlines : newlines + 1;
}

std::string_view without_trailing_space(std::string_view text) {
  return text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
}

lsp::PromptQuery query_of(const InfillingCase& hole) {
  lsp::DocumentStore documents(1);
  const lsp::Language& language = lsp::find_language(hole.path.empty() ? "python" : "", hole.path);
  const auto document = documents.open("file:///" + hole.path, std::string(language.id), 1,
                                       hole.prefix + hole.suffix);
  return {document, hole.prefix.size(), {}, hole.prefix.size()};
}

lsp::CompletionPrompt anchored_prompt(const lsp::PromptQuery& query, const InfillingCase& hole,
                                      const lsp::PromptBudget& budget,
                                      const engine::ModelInfo& model,
                                      const engine::Tokenizer& tokenizer) {
  const lsp::Document& document = *query.document;
  const lsp::Language& language = lsp::find_language(document.language_id);
  const SteadyClock clock;
  const lsp::SyntaxTreePtr tree = lsp::parse(language, document.text.view(), {}, clock);
  const lsp::CompletionSite site = lsp::describe_site(query, language, tree.get());
  // The tokenizer outlives the buffer.
  const std::shared_ptr<const engine::Tokenizer> borrowed(std::shared_ptr<void>(), &tokenizer);
  const auto tokens = lsp::TokenBuffer::build(query.document, borrowed, nullptr);
  lsp::AnchoredInput input;
  input.query = &query;
  input.site = &site;
  input.tokens = tokens.get();
  input.tree = tree.get();
  input.budget = budget;
  input.path = hole.path;
  input.fill_in_the_middle = model.fill_in_the_middle;
  return lsp::build_anchored_prompt(input, nullptr, {}).completion;
}

/// Puts the healed bytes back behind the prefix, where plain prompts end.
void undo_healing(lsp::CompletionPrompt& prompt) {
  for (engine::PromptPart& part : prompt.prompt) {
    if (auto* text = std::get_if<std::string>(&part)) {
      *text += prompt.forced_prefix;
      break;
    }
  }
  prompt.forced_prefix.clear();
}

Result<std::string> generate(engine::Engine& engine, lsp::CompletionPrompt prompt,
                             const InfillingCase& hole, int max_tokens) {
  engine::GenerationRequest request;
  request.prompt = std::move(prompt.prompt);
  request.forced_prefix = std::move(prompt.forced_prefix);
  request.max_tokens = max_tokens;
  const auto sink = std::make_shared<LineLimitSink>(lines_of(hole.expected));
  engine.submit(std::move(request), sink);
  engine::Generation generation = sink->wait();
  if (generation.error)
    return fail(generation.error->kind, hole.id + ": " + generation.error->message);
  return std::move(generation.text);
}

void add(Score& score, const Verdict& verdict) {
  ++score.cases;
  score.exact += verdict.exact ? 1 : 0;
  score.right_prefix += verdict.right_prefix;
}

}  // namespace

std::string_view to_string(PromptForm form) {
  switch (form) {
    case PromptForm::plain:
      return "plain";
    case PromptForm::healed:
      return "healed";
    case PromptForm::anchored:
      return "anchored";
  }
  return "unknown";
}

std::string_view to_string(HolePlace place) {
  switch (place) {
    case HolePlace::inside_word:
      return "inside a word";
    case HolePlace::after_text:
      return "after text";
    case HolePlace::line_start:
      return "at a line start";
  }
  return "unknown";
}

HolePlace place_of(const InfillingCase& hole) {
  const std::size_t newline = hole.prefix.rfind('\n');
  const std::size_t line = newline == std::string::npos ? 0 : newline + 1;
  if (lsp::trimmed(std::string_view(hole.prefix).substr(line)).empty())
    return HolePlace::line_start;
  const bool word_before = lsp::is_word_character(hole.prefix.back());
  const bool word_behind = !hole.expected.empty() && lsp::is_word_character(hole.expected.front());
  return word_before && word_behind ? HolePlace::inside_word : HolePlace::after_text;
}

lsp::CompletionPrompt infilling_prompt(const InfillingCase& hole, PromptForm form,
                                       const InfillingOptions& options,
                                       const engine::ModelInfo& model,
                                       const engine::Tokenizer& tokenizer) {
  const lsp::PromptQuery query = query_of(hole);
  const lsp::PromptBudget budget{options.prompt_tokens};
  if (form == PromptForm::anchored) return anchored_prompt(query, hole, budget, model, tokenizer);
  lsp::CompletionPrompt prompt =
      lsp::build_plain_prompt(query, budget, tokenizer, model.fill_in_the_middle);
  if (form == PromptForm::plain) undo_healing(prompt);
  return prompt;
}

Verdict judge(std::string_view output, std::string_view expected) {
  const std::string_view wanted = without_trailing_space(expected);
  std::size_t end = 0;
  for (std::ptrdiff_t line = 0; line < lines_of(expected) && end < output.size(); ++line) {
    end = std::min(output.find('\n', end), output.size() - 1) + 1;
  }
  const std::string_view got = without_trailing_space(output.substr(0, end));
  const auto [mine, theirs] = std::ranges::mismatch(got, wanted);
  Verdict verdict;
  verdict.exact = got == wanted;
  const auto right = static_cast<double>(theirs - wanted.begin());
  verdict.right_prefix =
      wanted.empty() ? (verdict.exact ? 1 : 0) : right / static_cast<double>(wanted.size());
  return verdict;
}

Result<std::vector<FormReport>> run_infilling(engine::Engine& engine,
                                              const std::vector<InfillingCase>& cases,
                                              const InfillingOptions& options,
                                              const std::function<void(double)>& progress) {
  const auto model = engine.model();
  const auto tokenizer = engine.tokenizer();
  if (!model || !tokenizer) {
    return fail(ErrorKind::unavailable, "the engine has no model with a tokenizer here");
  }
  std::vector<FormReport> reports;
  for (const PromptForm form : options.forms) reports.push_back({form, {}, {}});
  std::size_t done = 0;
  for (const InfillingCase& hole : cases) {
    for (FormReport& report : reports) {
      auto output =
          generate(engine, infilling_prompt(hole, report.form, options, *model, *tokenizer), hole,
                   options.max_tokens);
      if (!output) return pass_on(std::move(output));
      const Verdict verdict = judge(*output, hole.expected);
      add(report.all, verdict);
      add(report.by_place[place_of(hole)], verdict);
    }
    progress(static_cast<double>(++done) / static_cast<double>(cases.size()));
  }
  return reports;
}

}  // namespace caretd::daemon
