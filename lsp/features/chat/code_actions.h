// Which actions a place in a document is offered, and what the model is asked for each.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lsp/documents/document_store.h"
#include "lsp/features/chat/code_target.h"

namespace caretd::lsp {

enum class ActionVerb : std::uint8_t { explain, document, fix, write_tests, refactor };

/// The command that carries a verb out: "caretd.explain", ...
[[nodiscard]] std::string_view command_of(ActionVerb verb);
[[nodiscard]] std::optional<ActionVerb> verb_of(std::string_view command);
/// The LSP CodeActionKind it is listed under.
[[nodiscard]] std::string_view kind_of(ActionVerb verb);
/// Whether its answer is an edit of the document (else it talks, or makes a file).
[[nodiscard]] bool edits(ActionVerb verb);

/// What another tool says about a piece of the document; byte offsets.
struct Complaint {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::string message;
  std::size_t index = 0;  ///< in the request's list
};

/// One action on offer.
struct ActionOffer {
  ActionVerb verb = ActionVerb::explain;
  std::string title;
  std::optional<std::size_t> complaint;  ///< index of the diagnostic it fixes
};

/// A document with its tree, and bytes [begin, end) of it.
struct ActionPlace {
  DocumentSnapshot document;
  SyntaxTreePtr tree;
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// What makes sense at the place, the most likely first. Nothing without a syntax tree; nothing
/// that edits where the code holds a secret, which the model may not see. Pure but for the finder's
/// cache of queries.
[[nodiscard]] std::vector<ActionOffer> offer_actions(const ActionPlace& place,
                                                     const std::vector<Complaint>& complaints,
                                                     DefinitionFinder& finder);

/// What the verb acts on at the place; nothing where it does not make sense.
[[nodiscard]] std::optional<CodeTarget> target_of(ActionVerb verb, const ActionPlace& place,
                                                  DefinitionFinder& finder);

/// The words of the user or of a diagnostic that go with an action.
struct ActionWords {
  std::string instruction;  ///< of refactor; else empty
  std::string complaint;    ///< of fix; else empty
  std::size_t line = 0;     ///< the complaint's, from 0 in the target
};

/// The message to the model.
[[nodiscard]] std::string action_message(ActionVerb verb, const ActionPlace& place,
                                         const CodeTarget& target, const ActionWords& words);

/// What its reply has to begin with where nothing but code will do: the fence. A model goes on with
/// what was begun for it, where it might have talked instead. Empty: nothing.
[[nodiscard]] std::string reply_beginning(ActionVerb verb, const ActionPlace& place,
                                          const CodeTarget& target);

}  // namespace caretd::lsp
