// The code in a model's reply. Replies are Markdown (CommonMark 0.30, read by cmark) written by a
// model: untrusted.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace caretd::lsp {

struct CodeBlock {
  std::string language;  ///< first word of the info string, lower case; may be empty
  std::string code;      ///< ends with a line feed unless empty
  bool closed = true;    ///< false: the text ended before the fence did
};

/// The fenced blocks of a reply, in order, also those inside lists and quotes. Indented code is
/// none: it is as often prose.
[[nodiscard]] std::vector<CodeBlock> fenced_code(std::string_view markdown);

/// The whole of a reply whose beginning, an opening fence, was written for the model. A model that
/// begins its own block instead is taken at its word; one that ends by itself (`complete`) in the
/// block that was begun for it has finished that.
[[nodiscard]] std::string whole_reply(const std::string& beginning, std::string_view generated,
                                      bool complete);

}  // namespace caretd::lsp
