// The pipeline that knows code: anchored prompts with related context, stops and clean-up by the
// syntax tree, ignored files and secrets left out.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "lsp/context/anchored_prompt.h"
#include "lsp/context/ignore.h"
#include "lsp/documents/token_buffer.h"
#include "lsp/features/completion_pipeline.h"
#include "lsp/features/source_knowledge.h"
#include "lsp/syntax/tree_store.h"
#include "support/thread_clock.h"

namespace caretd::lsp {

/// One session's. Thread-safe. Held by shared_ptr.
class SyntaxPipeline final : public CompletionPipeline,
                             public SourceKnowledge,
                             public std::enable_shared_from_this<SyntaxPipeline> {
 public:
  /// `read` gives the text of an ignore file, nothing where there is none; the path comes from
  /// the workspace.
  SyntaxPipeline(std::shared_ptr<const DocumentStore> documents, IgnoreRules::ReadFile read);

  [[nodiscard]] CompletionPlan plan(const PlanRequest& request) override;
  void prepare(const DocumentSnapshot& document, const PromptModel& model) override;
  void did_change(const DocumentSnapshot& document) override;
  void did_close(const DocumentSnapshot& document) override;
  void did_save(const std::string& uri) override;
  void set_workspace(const std::vector<std::string>& folders) override;
  [[nodiscard]] bool ignored(const Document& document, const Settings& settings) const override;
  [[nodiscard]] std::string relative_path(const Document& document) const override;
  [[nodiscard]] SyntaxTreePtr tree_of(const DocumentSnapshot& document) override {
    return trees_.tree_of(document);
  }

 private:
  struct Folder {
    std::string path;
    std::shared_ptr<IgnoreRules> rules;
  };

  [[nodiscard]] std::optional<Folder> folder_of(const std::string& path) const;
  [[nodiscard]] std::optional<AnchoredContext> context_of(std::uint64_t document) const;
  void keep_context(std::uint64_t document, AnchoredContext context);
  [[nodiscard]] std::vector<RelatedPiece> related(const PlanRequest& request,
                                                  const SyntaxTree* tree, const Language& language,
                                                  const RelatedOptions& options,
                                                  const Anchor& anchor);
  [[nodiscard]] AnchoredPrompt anchored(const PlanRequest& request, const CompletionSite& site,
                                        const SyntaxTreePtr& tree, const Language& language);

  const std::shared_ptr<const DocumentStore> documents_;
  const IgnoreRules::ReadFile read_;
  const ThreadClock parsing_time_;
  TreeStore trees_;
  TokenBuffers tokens_;
  DefinitionFinder finder_;
  DefinitionIndex definitions_;
  RecentEdits edits_;

  mutable std::mutex mutex_;  // below
  std::vector<Folder> folders_;
  std::map<std::uint64_t, AnchoredContext> contexts_;
};

}  // namespace caretd::lsp
