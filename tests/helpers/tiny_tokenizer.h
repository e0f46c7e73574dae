// The embedded model's tokenizer, loaded once.
#pragma once

#include <memory>

#include "engine/text/tokenizer.h"
#include "tests/helpers/catch.h"

namespace caretd::test {

inline std::shared_ptr<const engine::Tokenizer> tiny_tokenizer() {
  static const auto kTokenizer = engine::Tokenizer::load("models/tiny");
  REQUIRE(kTokenizer);
  return *kTokenizer;
}

}  // namespace caretd::test
