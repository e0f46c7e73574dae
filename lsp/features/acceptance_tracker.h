// What became of the suggestions, seen in the edits alone: no client has to report anything.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "lsp/features/statistics.h"
#include "lsp/features/suggestion.h"

namespace caretd::lsp {

/// One session's documents. Not thread-safe: the session's strand.
class AcceptanceTracker {
 public:
  static constexpr Duration kKeptAfter = std::chrono::seconds(30);

  AcceptanceTracker(Statistics& statistics, const Clock& clock)
      : statistics_(statistics), clock_(clock) {}

  /// An offer was answered for `query`. The same suggestion answered again, shorter by what was
  /// typed since, is still the one that was shown.
  void on_shown(const PromptQuery& query, const Offer& offer);

  /// `before` is the snapshot in front of `now`. True if with this change a suggestion was accepted
  /// as a whole.
  bool on_change(const DocumentSnapshot& before, const DocumentSnapshot& now);
  /// The editor's word that the suggestion was accepted as a whole.
  void confirm(std::uint64_t suggestion);
  /// Other documents are in use now: what is on its screen is no longer followed.
  void on_left(std::uint64_t document);
  void on_close(const DocumentSnapshot& last);

 private:
  /// The suggestion on the screen and how much of it is in the document.
  struct Shown {
    std::uint64_t suggestion = 0;
    DocumentSnapshot base;  ///< when first shown
    std::size_t begin = 0;
    std::size_t end = 0;  ///< the offer replaces [begin, end) of base
    std::string text;
    std::size_t present = 0;  ///< bytes of text in the document
    bool by_words = false;
  };
  /// Accepted text that is watched until it has lasted.
  struct Accepted {
    std::size_t begin = 0;  ///< in the latest snapshot
    std::string text;
    TimePoint at;
  };
  struct Watched {
    std::string language;
    std::vector<Shown> shown;  ///< none or one
    std::vector<Accepted> accepted;
    std::set<std::uint64_t> counted;  ///< suggestions that were counted as shown
  };

  /// True: accepted as a whole, at one stroke.
  bool follow(Watched& watched, const DocumentSnapshot& now);
  /// The suggestion left the screen; the words of it that were taken count.
  void end_shown(Watched& watched);
  void settle(Watched& watched, const Document& document, TimePoint until);

  Statistics& statistics_;
  const Clock& clock_;
  std::map<std::uint64_t, Watched> documents_;
};

}  // namespace caretd::lsp
