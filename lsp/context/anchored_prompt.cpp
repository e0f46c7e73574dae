#include "lsp/context/anchored_prompt.h"

#include <algorithm>
#include <utility>

namespace caretd::lsp {
namespace {

using engine::ControlToken;

constexpr int kControlTokens = 4;
// Kept free for what is typed between two anchors.
constexpr int kTypedReserve = 64;

// Of a line of megabytes only the end is looked at.
constexpr std::size_t kTypedBytesLookedAt = std::size_t{16} << 10;

bool is_continuation(char c) {
  return (static_cast<unsigned char>(c) & 0xC0) == 0x80;
}

// Tokens of the hole's line in front of the hole, or as many as half of the budget.
int typed_tokens(const AnchoredInput& input) {
  const PromptQuery& query = *input.query;
  const Text& text = query.document->text;
  const std::size_t begin = text.line_start(text.line_of(query.before));
  const int typed = input.tokens->count(begin, query.before) + input.tokens->count(query.pending);
  return std::min(typed, input.budget.tokens / 2);
}

// Tokens that may stand in front of P.
int related_budget(const AnchoredInput& input) {
  const bool wanted = input.related.definitions || input.related.recent_edits;
  if (!input.find_related || !wanted) return 0;
  return static_cast<int>(input.budget.tokens * input.related.share);
}

// What is left for P and S next to so many tokens of related context.
AnchorBudget anchor_budget(const AnchoredInput& input, int header_tokens, int related_tokens) {
  const int reserve = typed_tokens(input) + std::min(kTypedReserve, input.budget.tokens / 8);
  const int own =
      std::max(0, input.budget.tokens - kControlTokens - reserve - header_tokens - related_tokens);
  AnchorBudget budget;
  budget.suffix = input.fill_in_the_middle ? static_cast<int>(own * input.budget.suffix_share) : 0;
  budget.prefix = own - budget.suffix;
  return budget;
}

std::string with_header(const RelatedPiece& piece, const std::vector<RelatedPiece>& in_front) {
  const bool same_file = !in_front.empty() && in_front.back().uri == piece.uri;
  return (same_file ? std::string() : path_header(*piece.language, piece.path)) + piece.text;
}

// As many pieces as fit, in the order in which they will stand: definitions, the most stable part,
// first and grouped by file; recent edits, the latest nearest to P.
std::vector<RelatedPiece> choose_related(std::vector<RelatedPiece> candidates,
                                         const TokenBuffer& tokens, int budget) {
  std::vector<RelatedPiece> chosen;
  int used = 0;
  for (RelatedPiece& piece : candidates) {
    const int size = tokens.count(with_header(piece, {}));
    if (used + size > budget) continue;
    used += size;
    chosen.push_back(std::move(piece));
  }
  const auto edits = std::ranges::stable_partition(
      chosen, [](const RelatedPiece& p) { return p.kind == PieceKind::definition; });
  std::ranges::stable_sort(chosen.begin(), edits.begin(), {},
                           [](const RelatedPiece& p) { return std::pair(p.path, p.begin); });
  std::ranges::reverse(edits);
  return chosen;
}

// Builds the parts in prompt order and the account of them.
class Assembler {
 public:
  explicit Assembler(const AnchoredInput& input) : input_(input) {}

  void control(ControlToken token) { result_.prompt.emplace_back(token); }

  void related(const std::vector<RelatedPiece>& pieces) {
    std::string text;
    std::vector<RelatedPiece> in_front;
    for (const RelatedPiece& piece : pieces) {
      const std::string shown = with_header(piece, in_front);
      account(piece.kind, piece.uri, piece.begin, piece.end, input_.tokens->count(shown));
      text += shown;
      in_front.push_back(piece);
    }
    add_text(std::move(text));
  }

  void header(const std::string& text) {
    if (text.empty()) return;
    account(PieceKind::path, uri(), 0, 0, input_.tokens->count(text));
    add_text(text);
  }

  void stretch(PieceKind kind, std::size_t begin, std::size_t end) {
    account(kind, uri(), begin, end, input_.tokens->count(begin, end));
    if (input_.tokens->exact()) {
      result_.prompt.emplace_back(input_.tokens->ids(begin, end));
    } else {
      add_text(input_.tokens->text(begin, end));
    }
  }

  void typed(std::size_t begin) {
    const PromptQuery& query = *input_.query;
    begin = std::max(begin, query.before - std::min(query.before, kTypedBytesLookedAt));
    while (begin < query.before && is_continuation(query.document->text.view()[begin])) ++begin;
    std::string text = input_.tokens->text(begin, query.before);
    if (!query.pending.empty()) text += redact(query.pending);
    const engine::Tokenizer* tokenizer = input_.tokens->tokenizer();
    if (tokenizer == nullptr) {
      account(PieceKind::typed, uri(), begin, query.before, input_.tokens->count(text));
      return add_text(std::move(text));
    }
    engine::HealedTokens healed = engine::heal(*tokenizer, text);
    cut_to_budget(healed.kept);
    account(PieceKind::typed, uri(), begin, query.before, static_cast<int>(healed.kept.size()));
    result_.forced_prefix = std::move(healed.forced_prefix);
    if (!input_.tokens->exact()) return add_text(tokenizer->decode(healed.kept));
    if (!healed.kept.empty()) result_.prompt.emplace_back(std::move(healed.kept));
  }

  CompletionPrompt take(std::size_t replace_end) {
    result_.replace_end = replace_end;
    return std::move(result_);
  }

 private:
  const std::string& uri() const { return input_.query->document->uri; }

  // A line far longer than the prompt (minified code) is cut from the left, to half of the budget.
  void cut_to_budget(std::vector<engine::TokenId>& typed) const {
    const auto allowed = static_cast<std::size_t>(std::max(0, input_.budget.tokens / 2));
    if (typed.size() > allowed) typed.erase(typed.begin(), typed.end() - std::ptrdiff_t(allowed));
  }

  void add_text(std::string text) {
    if (!text.empty()) result_.prompt.emplace_back(std::move(text));
  }

  void account(PieceKind kind, const std::string& source, std::size_t begin, std::size_t end,
               int tokens) {
    result_.pieces.push_back({kind, source, begin, end, tokens});
  }

  const AnchoredInput& input_;
  CompletionPrompt result_;
};

CompletionPrompt assemble(const AnchoredInput& input, const AnchoredContext& context,
                          const std::string& header) {
  Assembler out(input);
  out.control(ControlToken::begin_of_sentence);
  if (input.fill_in_the_middle) out.control(ControlToken::fim_begin);
  out.related(context.related);
  out.header(header);
  out.stretch(PieceKind::prefix, context.anchor.prefix_begin, context.anchor.prefix_end);
  if (input.fill_in_the_middle) {
    out.control(ControlToken::fim_hole);
    out.stretch(PieceKind::suffix, context.anchor.suffix_begin, context.anchor.suffix_end);
    out.control(ControlToken::fim_end);
  }
  out.typed(context.anchor.prefix_end);
  return out.take(input.query->after + input.site->replaceable);
}

}  // namespace

std::string path_header(const Language& language, std::string_view path) {
  if (path.empty() || path.find('\n') != std::string_view::npos) return {};
  const CommentSyntax& comment = language.comment;
  if (!comment.line.empty()) return std::string(comment.line) + " " + std::string(path) + "\n";
  if (comment.open.empty()) return {};
  return std::string(comment.open) + " " + std::string(path) + " " + std::string(comment.close) +
         "\n";
}

namespace {

int total_tokens(const CompletionPrompt& prompt) {
  int total = kControlTokens;
  for (const PromptPiece& piece : prompt.pieces) total += piece.tokens;
  return total;
}

int tokens_of(const std::vector<RelatedPiece>& pieces, const TokenBuffer& tokens) {
  int total = 0;
  for (const RelatedPiece& piece : pieces) total += tokens.count(with_header(piece, {}));
  return total;
}

// A new anchor, and related context in front of it unless P begins where it did.
AnchoredContext place(const AnchoredInput& input, const std::optional<CarriedAnchor>& carried,
                      const std::vector<RelatedPiece>* related_before, int header_tokens) {
  const auto place_beside = [&](int related_tokens) {
    return place_anchor(*input.query, *input.site, *input.tokens, input.tree,
                        anchor_budget(input, header_tokens, related_tokens), carried);
  };
  AnchoredContext context;
  context.revision = input.query->document->revision;
  if (carried && carried->begin_known && related_before) {
    context.anchor = place_beside(tokens_of(*related_before, *input.tokens));
    if (context.anchor.prefix_begin == carried->anchor.prefix_begin) {
      context.related = *related_before;
      return context;
    }
  }
  const int allowed = related_budget(input);
  context.anchor = place_beside(allowed);
  if (allowed == 0) return context;
  context.related = choose_related(input.find_related(context.anchor), *input.tokens, allowed);
  // What related context leaves free is P's.
  context.anchor = place_beside(tokens_of(context.related, *input.tokens));
  return context;
}

}  // namespace

AnchoredPrompt build_anchored_prompt(const AnchoredInput& input, const AnchoredContext* previous,
                                     const std::optional<std::vector<ByteEdit>>& edits,
                                     Anchoring anchoring) {
  const PromptQuery& query = *input.query;
  const std::string header = path_header(*input.site->language, input.path);
  std::optional<CarriedAnchor> carried;
  if (previous && edits && anchoring != Anchoring::rebuild) {
    carried = carry(previous->anchor, *edits);
  }
  AnchoredPrompt result;
  result.secret_at_hole = input.tokens->touches_secret(query.before, query.before);
  if (carried && serves(*carried, query, *input.site) &&
      (anchoring == Anchoring::keep || !is_stale(carried->anchor, query))) {
    result.context = {query.document->revision, carried->anchor, previous->related};
    result.completion = assemble(input, result.context, header);
    if (total_tokens(result.completion) <= input.budget.tokens) return result;
  }
  result.reanchored = true;
  result.context =
      place(input, carried, previous ? &previous->related : nullptr, input.tokens->count(header));
  result.completion = assemble(input, result.context, header);
  return result;
}

}  // namespace caretd::lsp
