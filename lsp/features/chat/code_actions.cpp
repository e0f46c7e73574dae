#include "lsp/features/chat/code_actions.h"

#include <algorithm>
#include <array>

#include "lsp/context/secrets.h"
#include "lsp/features/chat/chat_context.h"

namespace caretd::lsp {
namespace {

struct VerbEntry {
  ActionVerb verb;
  std::string_view command;
  std::string_view kind;
  bool edits;
};

constexpr std::array<VerbEntry, 5> kVerbs = {{
    {ActionVerb::explain, "caretd.explain", "source.explain", false},
    {ActionVerb::document, "caretd.document", "refactor.rewrite", true},
    {ActionVerb::fix, "caretd.fix", "quickfix", true},
    {ActionVerb::write_tests, "caretd.writeTests", "source.writeTests", false},
    {ActionVerb::refactor, "caretd.refactor", "refactor.rewrite", true},
}};

const VerbEntry& entry(ActionVerb verb) {
  return *std::ranges::find(kVerbs, verb, &VerbEntry::verb);
}

/// One line of at most `most` bytes, cut at a character.
std::string shortened(std::string_view text, std::size_t most) {
  text = text.substr(0, text.find('\n'));
  if (text.size() <= most) return std::string(text);
  std::size_t end = most;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return std::string(text.substr(0, end)) + "…";
}

bool holds_secret(std::string_view source, const CodeTarget& target) {
  const std::string_view code = target.of(source);
  return redact(code, redaction_state_at(source, target.begin)) != code;
}

bool is_documentable(const CodeTarget& target) {
  return target.shape == CodeTarget::Shape::function || target.shape == CodeTarget::Shape::type;
}

std::string subject(const CodeTarget& target) {
  return target.name.empty() ? "these lines" : "'" + shortened(target.name, 40) + "'";
}

/// The target as the model sees it: from the start of its first line, so that the indentation of
/// the lines is that of the file.
std::string code_of(const ActionPlace& place, const CodeTarget& target) {
  const Text& text = place.document->text;
  const std::string_view source = text.view();
  const std::size_t line = text.line_start(text.line_of(target.begin));
  const std::string_view before = source.substr(line, target.begin - line);
  const bool indented = before.find_first_not_of(" \t") == std::string_view::npos;
  const std::size_t begin = indented ? line : target.begin;
  std::string code =
      redact(source.substr(begin, target.end - begin), redaction_state_at(source, begin));
  std::erase(code, '\r');
  return code;
}

std::string_view noun(const CodeTarget& target) {
  switch (target.shape) {
    case CodeTarget::Shape::function:
      return "function";
    case CodeTarget::Shape::type:
      return "type";
    default:
      return "code";
  }
}

}  // namespace

std::string_view command_of(ActionVerb verb) {
  return entry(verb).command;
}

std::optional<ActionVerb> verb_of(std::string_view command) {
  const auto found = std::ranges::find(kVerbs, command, &VerbEntry::command);
  return found == kVerbs.end() ? std::nullopt : std::optional(found->verb);
}

std::string_view kind_of(ActionVerb verb) {
  return entry(verb).kind;
}

bool edits(ActionVerb verb) {
  return entry(verb).edits;
}

std::optional<CodeTarget> target_of(ActionVerb verb, const ActionPlace& place,
                                    DefinitionFinder& finder) {
  if (!place.tree) return std::nullopt;
  const std::string_view source = place.document->text.view();
  std::optional<CodeTarget> target;
  const bool selected = place.end > place.begin;
  const bool whole_definitions =
      verb == ActionVerb::document || verb == ActionVerb::write_tests || !selected;
  if (whole_definitions || verb == ActionVerb::fix) {
    target = enclosing_definition(*place.tree, finder, source, place.begin, place.end);
    const bool fits = target && (is_documentable(*target) || verb == ActionVerb::explain ||
                                 verb == ActionVerb::refactor || verb == ActionVerb::fix);
    if (!fits) target.reset();
  }
  // A diagnostic between the definitions, and what somebody selected, is a matter of its lines.
  if (!target && (verb == ActionVerb::fix || (selected && !whole_definitions))) {
    target = touched_code(*place.tree, source, place.begin, place.end);
  }
  if (target && edits(verb) && holds_secret(source, *target)) target.reset();
  return target;
}

std::vector<ActionOffer> offer_actions(const ActionPlace& place,
                                       const std::vector<Complaint>& complaints,
                                       DefinitionFinder& finder) {
  std::vector<ActionOffer> offers;
  for (const Complaint& complaint : complaints) {
    ActionPlace at = place;
    at.begin = complaint.begin;
    at.end = complaint.end;
    if (!target_of(ActionVerb::fix, at, finder)) continue;
    offers.push_back(
        {ActionVerb::fix, "Fix: " + shortened(complaint.message, 60), complaint.index});
  }
  const auto offer = [&](ActionVerb verb, const std::string& before, const std::string& after) {
    if (const auto target = target_of(verb, place, finder)) {
      offers.push_back({verb, before + subject(*target) + after, std::nullopt});
    }
  };
  offer(ActionVerb::document, "Document ", "");
  offer(ActionVerb::refactor, "Refactor ", " with an instruction…");
  offer(ActionVerb::explain, "Explain ", "");
  offer(ActionVerb::write_tests, "Write tests for ", "");
  return offers;
}

std::string action_message(ActionVerb verb, const ActionPlace& place, const CodeTarget& target,
                           const ActionWords& words) {
  const Language& language = place.tree->language();
  const std::string code = fenced(code_of(place, target), language.id);
  const std::string what(noun(target));
  const std::string whole = " Answer with the whole changed code in one code block.\n\n";
  switch (verb) {
    case ActionVerb::explain:
      return "Explain what this " + what + " does.\n\n" + code;
    case ActionVerb::document:
      // The embedded model was shown this sentence.
      return "Write a " + std::string(language.id == "python" ? "docstring" : "doc comment") +
             " for this " + what + ".\n\n" + code;
    case ActionVerb::fix:
      return "Line " + std::to_string(words.line + 1) +
             " of this code has a problem: " + words.complaint + "\nCorrect it." + whole + code;
    case ActionVerb::write_tests:
      return "Write unit tests for this " + what + " of " +
             place.document->uri.substr(place.document->uri.rfind('/') + 1) +
             ". Answer with one code block.\n\n" + code;
    case ActionVerb::refactor:
      return words.instruction + whole + code;
  }
  return code;
}

std::string reply_beginning(ActionVerb verb, const ActionPlace& place, const CodeTarget& target) {
  // Prose is as good for documentation.
  if (verb == ActionVerb::explain || verb == ActionVerb::document) return {};
  const std::string code = fenced(code_of(place, target), place.tree->language().id);
  return code.substr(0, code.find('\n') + 1);
}

}  // namespace caretd::lsp
