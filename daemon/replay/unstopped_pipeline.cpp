#include "daemon/replay/unstopped_pipeline.h"

#include <utility>

namespace caretd::daemon::replay {

namespace {

class NoStop final : public lsp::StopRule {
 public:
  std::optional<std::size_t> end_of_completion(std::string_view) override { return std::nullopt; }
  [[nodiscard]] std::string_view reason() const override { return {}; }
};

class UnstoppedPipeline final : public lsp::CompletionPipeline {
 public:
  UnstoppedPipeline(std::shared_ptr<lsp::CompletionPipeline> pipeline, bool tidy)
      : pipeline_(std::move(pipeline)), tidy_(tidy) {}

  lsp::CompletionPlan plan(const lsp::PlanRequest& request) override {
    lsp::CompletionPlan plan = pipeline_->plan(request);
    plan.stop_rule = std::make_unique<NoStop>();
    if (!tidy_) {
      plan.finish = [end = request.query.after](std::string text) {
        return std::optional(lsp::FinishedText{text.empty() ? " " : std::move(text), end});
      };
    }
    return plan;
  }

  void prepare(const lsp::DocumentSnapshot& document, const lsp::PromptModel& model) override {
    pipeline_->prepare(document, model);
  }
  void did_change(const lsp::DocumentSnapshot& document) override {
    pipeline_->did_change(document);
  }
  void did_close(const lsp::DocumentSnapshot& document) override { pipeline_->did_close(document); }
  void did_save(const std::string& uri) override { pipeline_->did_save(uri); }
  void set_workspace(const std::vector<std::string>& folders) override {
    pipeline_->set_workspace(folders);
  }

 private:
  const std::shared_ptr<lsp::CompletionPipeline> pipeline_;
  const bool tidy_;
};

}  // namespace

std::shared_ptr<lsp::CompletionPipeline> make_unstopped(
    std::shared_ptr<lsp::CompletionPipeline> pipeline, bool tidy) {
  return std::make_shared<UnstoppedPipeline>(std::move(pipeline), tidy);
}

}  // namespace caretd::daemon::replay
