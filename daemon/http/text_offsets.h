// Where in the text of a reply each of its tokens stands.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "engine/scheduler/generated_text.h"
#include "engine/text/tokenizer.h"

namespace caretd::daemon::api {

/// Offsets count characters (Unicode code points), as those of OpenAI's completions do. Of a
/// character that several tokens make together each has the offset. Not thread-safe.
class TextOffsets {
 public:
  /// `forced_prefix` is what healing makes the first tokens repeat of the prompt: it is no part of
  /// the text. `begin` is where the text of these tokens begins.
  explicit TextOffsets(std::shared_ptr<const engine::Tokenizer> tokenizer,
                       std::string forced_prefix = {}, std::size_t begin = 0);

  /// The offset of the next token. Control tokens have no text and do not move those behind them.
  [[nodiscard]] std::size_t next(engine::TokenId id);
  /// Where the text ends, once no token follows.
  [[nodiscard]] std::size_t end();

 private:
  engine::GeneratedText text_;
  std::size_t characters_ = 0;
};

}  // namespace caretd::daemon::api
