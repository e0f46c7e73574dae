#include "daemon/replay/typist.h"

#include <algorithm>
#include <thread>
#include <utility>

namespace caretd::daemon::replay {

namespace {

constexpr auto kBeforeNextJump = std::chrono::seconds(1);

bool is_word(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
         (byte >= 'a' && byte <= 'z') || byte == '_' || byte >= 0x80;
}

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/// The stroke that byte `done` of the stretch belongs to, and where it begins.
struct Place {
  const Stroke* stroke = nullptr;  ///< null behind the last
  std::size_t begin = 0;
};
Place place_in(const Stretch& stretch, std::size_t done) {
  std::size_t begin = 0;
  for (const Stroke& stroke : stretch.strokes) {
    if (done < begin + stroke.text.size()) return {&stroke, begin};
    begin += stroke.text.size();
  }
  return {};
}

Duration wait_at(const Stretch& stretch, std::size_t done) {
  const Place place = place_in(stretch, done);
  return place.stroke != nullptr ? place.stroke->wait : Duration(kBeforeNextJump);
}

std::string joined(const Stretch& stretch) {
  std::string text;
  for (const Stroke& stroke : stretch.strokes) text += stroke.text;
  return text;
}

}  // namespace

std::size_t first_word(std::string_view text) {
  std::size_t end = 0;
  while (end < text.size() && is_space(text[end])) ++end;
  if (end == text.size()) return end;
  const bool word = is_word(text[end]);
  while (end < text.size() && !is_space(text[end]) && is_word(text[end]) == word) ++end;
  return end;
}

Match match(std::string_view text, std::string_view replaced, std::string_view rest) {
  const auto [end, ignored] = std::mismatch(text.begin(), text.end(), rest.begin(), rest.end());
  auto right = static_cast<std::size_t>(end - text.begin());
  const bool brings_replaced = !replaced.empty() && text.ends_with(replaced) &&
                               text.size() - replaced.size() == rest.size() && right >= rest.size();
  if (brings_replaced) return {text.size(), true};
  while (right > 0 && right < text.size() &&
         (static_cast<unsigned char>(text[right]) & 0xC0) == 0x80) {
    --right;
  }
  return {right, replaced.empty() && right == text.size()};
}

TypedFileRecord Typist::type(const TypedFile& file) {
  record_ = {file.name, file.language, keys_without_suggestions(file), characters_of(file), 0, {},
             {}};
  const std::size_t first_key = engine_.next_key() + 1;
  line_.reset();
  editor_.open("file:///replay/" + file.name, file.language, file.opening);
  settle();
  now_ = clock_.now();
  for (const Stretch& stretch : file.stretches) type(stretch);
  activity_.wait_until_idle();
  fill_in_tokens(first_key);
  record_.text = editor_.document().view();
  editor_.close();
  activity_.wait_until_idle();
  return std::move(record_);
}

void Typist::fill_in_tokens(std::size_t first_key) {
  for (std::size_t i = 0; i < record_.keys.size(); ++i) {
    const KeyTokens tokens = engine_.tokens_of(first_key + i);
    record_.keys[i].tokens = tokens.prompt;
    record_.keys[i].background_tokens = tokens.background;
    record_.keys[i].generated = tokens.generated;
  }
}

void Typist::settle() {
  if (pace_ == Pace::settled) activity_.wait_until_idle();
}

void Typist::jump_to(const Stretch& stretch) {
  target_ = joined(stretch);
  done_ = 0;
  cursor_ = stretch.offset;
  shown_.reset();
  line_.reset();
  editor_.look_at(cursor_);
  if (pace_ == Pace::settled) editor_.synchronise();
  settle();
  now_ += stretch.wait;
}

void Typist::type(const Stretch& stretch) {
  jump_to(stretch);
  if (stretch.erased > 0) {
    press({KeyKind::erase, cursor_ - stretch.erased, cursor_, {}, now_, wait_at(stretch, 0)});
  }
  std::size_t slipped = std::string::npos;  // the stroke whose slip is over
  while (done_ < target_.size()) {
    const Place place = place_in(stretch, done_);
    if (accept(now_ + place.stroke->wait, stretch)) continue;
    if (!place.stroke->slip.empty() && done_ == place.begin && slipped != place.begin) {
      slipped = place.begin;
      type_slip(*place.stroke);
    }
    const std::string text = place.stroke->text.substr(done_ - place.begin);
    const KeyKind kind =
        text.find('\n') != std::string::npos ? KeyKind::line_break : KeyKind::character;
    done_ += text.size();
    press({kind, cursor_, cursor_, text, now_ + place.stroke->wait, wait_at(stretch, done_)});
  }
}

void Typist::type_slip(const Stroke& stroke) {
  slipping_ = true;
  const std::size_t begin = cursor_;
  for (std::size_t at = 0; at < stroke.slip.size();) {
    const std::size_t length = lsp::character_bytes(stroke.slip, at);
    press({KeyKind::slip, cursor_, cursor_, stroke.slip.substr(at, length), now_ + stroke.wait,
           stroke.wait});
    at += length;
  }
  while (cursor_ > begin) {
    const std::string_view text = editor_.document().view();
    std::size_t character = cursor_ - 1;
    while (character > begin && (static_cast<unsigned char>(text[character]) & 0xC0) == 0x80) {
      --character;
    }
    slipping_ = character > begin;
    press({KeyKind::erase, character, cursor_, {}, now_ + stroke.wait, stroke.wait});
  }
}

bool Typist::accept(TimePoint next_due, const Stretch& stretch) {
  if (!shown_ || shown_->since + rule_.reaction > next_due) return false;
  const std::string text = shown_->text;
  const bool whole =
      rule_.full && shown_->match.all_right && count_characters(text) >= rule_.characters;
  const std::size_t word = first_word(text);
  const bool by_word = rule_.words && word <= shown_->match.right &&
                       count_characters(std::string_view(text).substr(0, word)) >= rule_.characters;
  if (!whole && !by_word) return false;
  const std::string taken = whole ? text : text.substr(0, word);
  const std::size_t end = whole ? shown_->range_end : cursor_;
  const std::size_t fresh = std::min(taken.size(), target_.size() - done_);
  record_.accepted_characters += count_characters(target_.substr(done_, fresh));
  done_ += fresh;
  const TimePoint due = std::max(shown_->since + rule_.reaction, now_ + rule_.between_words);
  press({whole ? KeyKind::accept : KeyKind::accept_word, cursor_, end, taken, due,
         wait_at(stretch, done_)});
  return true;
}

void Typist::press(const Press& press) {
  if (pace_ == Pace::real) std::this_thread::sleep_until(press.due);
  KeyRecord record;
  record.kind = press.kind;
  record.first_of_stretch = !line_;
  const bool types = press.kind == KeyKind::character || press.kind == KeyKind::line_break;
  record.as_suggested = types && shown_ && shown_->text.size() > press.text.size() &&
                        shown_->text.starts_with(press.text);
  engine_.next_key();
  const TimePoint begin = clock_.now();
  now_ = pace_ == Pace::real ? std::max(press.due, begin) : press.due;
  const std::int64_t handle = editor_.edit(press.begin, press.end, press.text);
  cursor_ = press.begin + press.text.size();
  const std::size_t line = editor_.document().line_of(cursor_);
  record.inside_line = line_ == line && press.kind != KeyKind::line_break;
  line_ = line;

  const auto until = pace_ == Pace::real ? std::optional(now_ + press.next) : std::nullopt;
  const auto answer = editor_.wait_for(handle, until);
  if (answer) {
    record.answer = answer->arrived - begin;
    show(press, *answer, record);
  } else {
    shown_.reset();
  }
  settle();
  record_.keys.push_back(std::move(record));
}

void Typist::show(const Press& press, const Answer& answer, KeyRecord& record) {
  const std::optional<Shown> before = std::exchange(shown_, std::nullopt);
  if (!answer.item || answer.item->text.empty()) return;
  const lsp::Text& document = editor_.document();
  const std::size_t begin =
      document.offset_at(answer.item->range.start, lsp::PositionEncoding::utf8);
  const std::size_t end = document.offset_at(answer.item->range.end, lsp::PositionEncoding::utf8);
  Shown shown{
      answer.item->text, std::max(end, cursor_), {}, pace_ == Pace::real ? answer.arrived : now_};
  if (begin == cursor_ && !slipping_) {
    shown.match = match(shown.text, document.view().substr(cursor_, shown.range_end - cursor_),
                        std::string_view(target_).substr(done_));
  }
  Ghost ghost;
  ghost.characters = count_characters(shown.text);
  ghost.right = shown.match.all_right
                    ? ghost.characters
                    : count_characters(std::string_view(shown.text).substr(0, shown.match.right));
  ghost.goes_on = before && before->text == press.text + shown.text;
  if (ghost.goes_on) shown.since = before->since;
  note_why(ghost);
  record.ghost = ghost;
  shown_ = std::move(shown);
}

void Typist::note_why(Ghost& ghost) {
  const nlohmann::json why = editor_.why();
  if (!why.is_object()) return;
  ghost.from_cache = why.value("source", std::string()) == "cache";
  const double ms = why.value("milliseconds", nlohmann::json::object()).value("total", 0.0);
  ghost.in_server =
      std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::milli>(ms));
}

}  // namespace caretd::daemon::replay
