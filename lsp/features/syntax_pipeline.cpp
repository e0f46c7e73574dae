#include "lsp/features/syntax_pipeline.h"

#include <algorithm>
#include <array>
#include <utility>

#include "lsp/context/secrets.h"
#include "lsp/documents/uri.h"
#include "lsp/postprocess/finish.h"
#include "lsp/postprocess/syntax_stop_rule.h"
#include "lsp/syntax/source_tokens.h"

namespace caretd::lsp {
namespace {

// Where identifiers are looked for whose definitions may help.
constexpr std::size_t kIdentifierRadius = 1500;
constexpr std::size_t kIdentifiers = 24;
// Other files that are parsed again for one prompt. Who renames a name in hundreds of files must
// not wait for all of them; the definitions of the others are found where the edits moved them.
constexpr int kParsedAgain = 4;

std::vector<std::string> control_texts(const engine::Tokenizer* tokenizer) {
  using engine::ControlToken;
  constexpr std::array kAll = {ControlToken::begin_of_sentence, ControlToken::end_of_sentence,
                               ControlToken::fim_begin,         ControlToken::fim_hole,
                               ControlToken::fim_end,           ControlToken::user,
                               ControlToken::assistant};
  std::vector<std::string> texts;
  if (tokenizer == nullptr) return texts;
  for (const ControlToken token : kAll) {
    if (!tokenizer->control_text(token).empty()) texts.emplace_back(tokenizer->control_text(token));
  }
  return texts;
}

// At the end of a line comment the cursor is still in it, behind a block comment it is not.
bool is_in_comment(const PromptQuery& query, const SyntaxTree* tree, const Language& language) {
  if (query.before == 0) return false;
  const std::string_view text = query.document->text.view();
  const auto tokens = source_tokens(tree, language, text, query.before - 1, query.before);
  return std::ranges::any_of(tokens, [&](const SourceToken& token) {
    if (token.cls != TokenClass::comment || token.begin >= query.before) return false;
    if (query.before < token.end) return true;
    const std::string_view line = language.comment.line;
    return !line.empty() && text.substr(token.begin).starts_with(line);
  });
}

// Neither text nor a string that is open goes on behind the hole.
bool nothing_behind(const CompletionSite& site) {
  return trimmed(site.rest).empty() && site.quote == 0 && site.extent != Extent::literal;
}

Anchoring anchoring_for(PlanPurpose purpose) {
  switch (purpose) {
    case PlanPurpose::rest:
      return Anchoring::renew;
    case PlanPurpose::focus:
      return Anchoring::rebuild;
    default:
      return Anchoring::keep;
  }
}

std::function<std::optional<FinishedText>(std::string)> finisher(
    CompletionSite site, std::size_t after, const engine::Tokenizer* tokenizer) {
  return [site = std::move(site), after, marks = control_texts(tokenizer)](
             const std::string& text) -> std::optional<FinishedText> {
    std::optional<Insertion> insertion = finish_completion(site, text, marks);
    if (!insertion) return std::nullopt;
    return FinishedText{std::move(insertion->text), after + insertion->replaced};
  };
}

// As a .gitignore in the workspace's root would: also by the folders that the file is in.
bool matches_any(const std::vector<std::string>& patterns, std::string_view path) {
  if (patterns.empty()) return false;
  std::string text;
  for (const std::string& pattern : patterns) text += pattern + "\n";
  const IgnoreFile rules(text);
  for (std::size_t slash = path.find('/'); slash != std::string_view::npos;
       slash = path.find('/', slash + 1)) {
    if (rules.judge(path.substr(0, slash), true) == IgnoreFile::Verdict::ignored) return true;
  }
  return rules.judge(path, false) == IgnoreFile::Verdict::ignored;
}

CompletionPlan refused(std::string why) {
  CompletionPlan plan;
  plan.refusal = std::move(why);
  return plan;
}

}  // namespace

SyntaxPipeline::SyntaxPipeline(std::shared_ptr<const DocumentStore> documents,
                               IgnoreRules::ReadFile read)
    : documents_(std::move(documents)),
      read_(std::move(read)),
      trees_(*documents_, parsing_time_),
      definitions_(finder_, *documents_) {}

void SyntaxPipeline::set_workspace(const std::vector<std::string>& folders) {
  std::vector<Folder> known;
  for (const std::string& uri : folders) {
    auto path = path_of_uri(uri);
    if (!path) continue;
    while (path->size() > 1 && path->ends_with('/')) path->pop_back();
    known.push_back({*path, std::make_shared<IgnoreRules>(*path, read_)});
  }
  const std::lock_guard lock(mutex_);
  folders_ = std::move(known);
}

std::optional<SyntaxPipeline::Folder> SyntaxPipeline::folder_of(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  for (const Folder& folder : folders_) {
    if (path.starts_with(folder.path) && path.size() > folder.path.size() &&
        path[folder.path.size()] == '/') {
      return folder;
    }
  }
  return std::nullopt;
}

// A document without a path (an unsaved buffer) is judged by its URI, as a name of no folder.
bool SyntaxPipeline::ignored(const Document& document, const Settings& settings) const {
  const std::string path = path_of_uri(document.uri).value_or(document.uri);
  if (is_secret_file(path)) return true;
  if (matches_any(settings.ignore, relative_path(document))) return true;
  const auto folder = folder_of(path);
  return folder && folder->rules->ignores(path, settings.respect_gitignore);
}

std::string SyntaxPipeline::relative_path(const Document& document) const {
  const std::string path = path_of_uri(document.uri).value_or(document.uri);
  if (const auto folder = folder_of(path)) return path.substr(folder->path.size() + 1);
  return path.substr(path.rfind('/') + 1);
}

std::optional<AnchoredContext> SyntaxPipeline::context_of(std::uint64_t document) const {
  const std::lock_guard lock(mutex_);
  const auto found = contexts_.find(document);
  if (found == contexts_.end()) return std::nullopt;
  return found->second;
}

void SyntaxPipeline::keep_context(std::uint64_t document, AnchoredContext context) {
  const std::lock_guard lock(mutex_);
  contexts_[document] = std::move(context);
}

std::vector<RelatedPiece> SyntaxPipeline::related(const PlanRequest& request,
                                                  const SyntaxTree* tree, const Language& language,
                                                  const RelatedOptions& options,
                                                  const Anchor& anchor) {
  const Document& own = *request.query.document;
  std::vector<OpenFile> files;
  int parses_left = kParsedAgain;
  for (const DocumentSnapshot& document : documents_->all()) {
    if (document->id != own.id && ignored(*document, request.settings)) continue;
    const bool parse_again = trees_.has_older(*document) && parses_left-- > 0;
    files.push_back({document, relative_path(*document),
                     parse_again ? trees_.tree_of(document) : trees_.find(*document)});
  }
  const std::vector<std::string> names = identifiers_near(
      tree, language, own.text.view(), request.query.before, kIdentifierRadius, kIdentifiers);
  return find_related(names, files, definitions_, edits_,
                      {own.id, anchor.prefix_begin, anchor.suffix_end}, options);
}

AnchoredPrompt SyntaxPipeline::anchored(const PlanRequest& request, const CompletionSite& site,
                                        const SyntaxTreePtr& tree, const Language& language) {
  const Document& document = *request.query.document;
  const TokenBufferPtr tokens = tokens_.buffer_of(request.query.document, request.model.tokenizer);
  AnchoredInput input;
  input.query = &request.query;
  input.site = &site;
  input.tokens = tokens.get();
  input.tree = tree.get();
  input.budget = request.budget;
  input.related.definitions = request.settings.related_code;
  input.related.recent_edits = request.settings.related_code;
  input.path = relative_path(document);
  input.fill_in_the_middle = request.model.info->fill_in_the_middle;
  input.find_related = [&](const Anchor& anchor) {
    return related(request, tree.get(), language, input.related, anchor);
  };
  const std::optional<AnchoredContext> previous = context_of(document.id);
  std::optional<std::vector<ByteEdit>> edits;
  if (previous) {
    edits = documents_->edits_between(document.id, previous->revision, document.revision);
  }
  return build_anchored_prompt(input, previous ? &*previous : nullptr, edits,
                               anchoring_for(request.purpose));
}

CompletionPlan SyntaxPipeline::plan(const PlanRequest& request) {
  const PromptQuery& query = request.query;
  const Document& document = *query.document;
  if (ignored(document, request.settings)) return refused("ignored");
  const Language& language = find_language(document.language_id, document.uri);
  const SyntaxTreePtr tree = trees_.tree_of(query.document);
  if (!request.settings.in_comments && is_in_comment(query, tree.get(), language)) {
    return refused("comment");
  }
  CompletionSite site = describe_site(query, language, tree.get());
  const bool automatic = request.purpose == PlanPurpose::keystroke && !request.invoked;
  if (automatic && !may_ask_automatically(site)) return refused("word");
  if (!request.settings.multiline) {
    site.extent = Extent::line;
  } else if (request.follows_acceptance) {
    site.may_begin_below = nothing_behind(site);
  }

  AnchoredPrompt prompt = anchored(request, site, tree, language);
  if (prompt.secret_at_hole) return refused("secret");
  CompletionPlan plan;
  plan.prompt = std::move(prompt.completion);
  plan.stale_anchor = is_stale(prompt.context.anchor, query);
  plan.finish = finisher(site, query.after, request.model.tokenizer.get());
  plan.stop_rule = std::make_unique<SyntaxStopRule>(std::move(site));
  if (request.purpose == PlanPurpose::keystroke) {
    keep_context(document.id, std::move(prompt.context));
  } else if (request.purpose != PlanPurpose::continuation) {
    plan.commit = [self = shared_from_this(), id = document.id,
                   context = std::move(prompt.context)] { self->keep_context(id, context); };
  }
  return plan;
}

void SyntaxPipeline::prepare(const DocumentSnapshot& document, const PromptModel& model) {
  const SyntaxTreePtr tree = trees_.tree_of(document);
  // Found now: the tree goes when enough other files are in use, its definitions stay.
  if (tree) (void)definitions_.definitions_of({document, {}, tree});
  if (model.tokenizer) (void)tokens_.buffer_of(document, model.tokenizer);
}

void SyntaxPipeline::did_change(const DocumentSnapshot& document) {
  edits_.note(*document);
}

// An editor that saves an ignore file means it from now on.
void SyntaxPipeline::did_save(const std::string& uri) {
  if (!uri.ends_with("ignore")) return;
  const std::lock_guard lock(mutex_);
  for (const Folder& folder : folders_) folder.rules->forget();
}

void SyntaxPipeline::did_close(const DocumentSnapshot& document) {
  trees_.forget(document->id);
  tokens_.forget(document->id);
  definitions_.forget(document->id);
  edits_.forget(document->id);
  const std::lock_guard lock(mutex_);
  contexts_.erase(document->id);
}

}  // namespace caretd::lsp
