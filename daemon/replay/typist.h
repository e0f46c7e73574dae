// Somebody who types a script into an editor and takes suggestions by a rule.
#pragma once

#include <optional>
#include <string>

#include "daemon/replay/editor.h"
#include "daemon/replay/figures.h"
#include "daemon/replay/probe_engine.h"
#include "daemon/replay/typing_script.h"

namespace caretd::daemon::replay {

enum class Pace : std::uint8_t {
  real,    ///< keys come when the script says; work ahead has that time and no more
  settled  ///< a key comes when the server is at rest; times of the script count for the rule alone
};

/// A suggestion that stands on the screen for `reaction` is accepted: as a whole if all of it is
/// what comes next, else word by word as far as it is. Less than `characters` at once is typed.
struct AcceptRule {
  bool full = true;
  bool words = true;
  Duration reaction = std::chrono::milliseconds(250);
  std::size_t characters = 3;
  Duration between_words = std::chrono::milliseconds(120);
};

/// The first word of a suggestion as editors accept it: white space, then a run of word characters
/// or one of others. Bytes.
[[nodiscard]] std::size_t first_word(std::string_view text);

/// How much of a suggestion is what comes next.
struct Match {
  std::size_t right = 0;   ///< leading bytes of its text that `rest` begins with, whole characters
  bool all_right = false;  ///< accepting it leaves nothing to correct
};
/// The suggestion replaces `replaced` behind the cursor by `text`; `rest` is still to be typed at
/// the cursor.
[[nodiscard]] Match match(std::string_view text, std::string_view replaced, std::string_view rest);

/// For one thread; everything named outlives it.
class Typist {
 public:
  Typist(Editor& editor, ProbeEngine& engine, Activity& activity, const Clock& clock, Pace pace,
         AcceptRule rule)
      : editor_(editor),
        engine_(engine),
        activity_(activity),
        clock_(clock),
        pace_(pace),
        rule_(rule) {}

  /// Opens the file, types all of it and closes it.
  [[nodiscard]] TypedFileRecord type(const TypedFile& file);

 private:
  /// A suggestion on the screen.
  struct Shown {
    std::string text;
    std::size_t range_end = 0;  ///< it replaces what is between the cursor and there
    Match match;
    TimePoint since;  ///< of the script
  };
  /// A key: replaces bytes [begin, end) of the document.
  struct Press {
    KeyKind kind = KeyKind::character;
    std::size_t begin = 0;
    std::size_t end = 0;
    std::string text;
    TimePoint due;    ///< of the script
    Duration next{};  ///< until the key after it, if nothing is accepted
  };

  void type(const Stretch& stretch);
  void type_slip(const Stroke& stroke);
  [[nodiscard]] bool accept(TimePoint next_due, const Stretch& stretch);
  void press(const Press& press);
  void show(const Press& press, const Answer& answer, KeyRecord& record);
  void note_why(Ghost& ghost);
  void jump_to(const Stretch& stretch);
  void fill_in_tokens(std::size_t first_key);
  void settle();

  Editor& editor_;
  ProbeEngine& engine_;
  Activity& activity_;
  const Clock& clock_;
  const Pace pace_;
  const AcceptRule rule_;

  TypedFileRecord record_;
  std::string target_;     ///< of the stretch
  std::size_t done_ = 0;   ///< bytes of it that stand in the document
  bool slipping_ = false;  ///< what is typed now is taken back
  std::size_t cursor_ = 0;
  std::optional<std::size_t> line_;  ///< on which the key before left the cursor
  TimePoint now_{};                  ///< of the script: when the key before was pressed
  std::optional<Shown> shown_;
};

}  // namespace caretd::daemon::replay
