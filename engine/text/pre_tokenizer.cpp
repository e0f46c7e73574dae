#include "engine/text/pre_tokenizer.h"

#include <utility>

namespace caretd::engine {
namespace {

/// Splits like GPT-2: contractions, words, numbers, the rest, white space (openai/gpt-2,
/// encoder.py). ByteLevel with use_regex means this pattern.
constexpr std::string_view kGpt2Pattern =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

Result<std::unique_ptr<Pattern>> pattern_of(const SplitStep& step) {
  if (step.is_regex) return make_regex_pattern(step.pattern);
  return make_literal_pattern(step.pattern);
}

/// A stretch of a piece: a match, or what is between matches.
struct Stretch {
  Span span;
  bool match = false;
};

/// Collects stretches into pieces the way a SplitBehavior says.
class PieceWriter {
 public:
  PieceWriter(SplitBehavior behavior, bool invert, std::vector<Span>& out)
      : behavior_(behavior), invert_(invert), out_(out) {}

  void write(Span span, bool matched) {
    if (span.begin == span.end) return;
    const bool match = matched != invert_;
    if (!first_ && joins(match)) {
      out_.back().end = span.end;
    } else {
      out_.push_back(span);
    }
    first_ = false;
    previous_match_ = match;
  }

 private:
  [[nodiscard]] bool joins(bool match) const {
    switch (behavior_) {
      case SplitBehavior::isolated:
        return false;
      case SplitBehavior::contiguous:
        return match == previous_match_;
      case SplitBehavior::merged_with_previous:
        return match && !previous_match_;
      case SplitBehavior::merged_with_next:
        return !match && previous_match_;
    }
    return false;
  }

  SplitBehavior behavior_;
  bool invert_;
  std::vector<Span>& out_;
  bool first_ = true;
  bool previous_match_ = false;
};

/// Puts a space before every piece that does not begin with one.
void add_prefix_spaces(PreTokenized& pre) {
  std::string spaced;
  spaced.reserve(pre.text.size() + pre.pieces.size());
  for (Span& piece : pre.pieces) {
    const std::string_view content = pre.text.substr(piece.begin, piece.end - piece.begin);
    piece.begin = spaced.size();
    if (!content.starts_with(' ')) spaced.push_back(' ');
    spaced += content;
    piece.end = spaced.size();
  }
  pre.with_prefix_spaces = std::move(spaced);
  pre.text = pre.with_prefix_spaces;
}

}  // namespace

Result<PreTokenizer> PreTokenizer::create(std::span<const PreTokenizerStep> steps) {
  PreTokenizer made;
  for (const PreTokenizerStep& step : steps) {
    if (const auto* split = std::get_if<SplitStep>(&step)) {
      auto pattern = pattern_of(*split);
      if (!pattern) return pass_on(std::move(pattern));
      if (made.steps_.empty() && split->behavior == SplitBehavior::isolated && !split->invert) {
        made.isolates_newlines_ =
            split->is_regex ? engine::isolates_newlines(split->pattern) : split->pattern == "\n";
      }
      made.steps_.push_back({*std::move(pattern), split->behavior, split->invert});
    } else if (const auto* digits = std::get_if<DigitsStep>(&step)) {
      made.steps_.push_back(
          {make_number_pattern(),
           digits->individual ? SplitBehavior::isolated : SplitBehavior::contiguous, false});
    } else if (const auto* byte_level = std::get_if<ByteLevelStep>(&step)) {
      made.add_prefix_space_ = byte_level->add_prefix_space;
      made.steps_before_prefix_space_ = made.steps_.size();
      if (!byte_level->use_regex) continue;
      auto pattern = make_regex_pattern(kGpt2Pattern);
      if (!pattern) return pass_on(std::move(pattern));
      made.steps_.push_back({*std::move(pattern), SplitBehavior::isolated, false});
    }
  }
  return made;
}

void PreTokenizer::split(std::string_view text, PreTokenized& out) const {
  out.text = text;
  out.pieces.assign(text.empty() ? 0 : 1, {0, text.size()});
  std::vector<Span> previous;
  std::vector<Span> matches;
  for (std::size_t i = 0; i <= steps_.size(); ++i) {
    if (add_prefix_space_ && i == steps_before_prefix_space_) add_prefix_spaces(out);
    if (i == steps_.size()) break;
    const Step& step = steps_[i];
    previous.swap(out.pieces);
    out.pieces.clear();
    for (const Span& piece : previous) {
      matches.clear();
      step.pattern->find_all(out.text.substr(piece.begin, piece.end - piece.begin), matches);
      if (matches.empty()) {
        out.pieces.push_back(piece);
        continue;
      }
      PieceWriter writer(step.behavior, step.invert, out.pieces);
      std::size_t at = piece.begin;
      for (const Span& match : matches) {
        writer.write({at, piece.begin + match.begin}, false);
        writer.write({piece.begin + match.begin, piece.begin + match.end}, true);
        at = piece.begin + match.end;
      }
      writer.write({at, piece.end}, false);
    }
  }
}

}  // namespace caretd::engine
