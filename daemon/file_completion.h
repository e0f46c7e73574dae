// A completion at a place in a file on disk, for the command line.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "daemon/config/settings.h"
#include "engine/engine.h"
#include "lsp/documents/document_store.h"
#include "support/clock.h"
#include "support/result.h"

namespace caretd::daemon {

/// FILE:LINE:COLUMN as compilers print it: both 1-based, columns in characters.
struct FileLocation {
  std::filesystem::path file;
  std::uint32_t line = 1;
  std::uint32_t column = 1;
};
[[nodiscard]] Result<FileLocation> parse_file_location(const std::string& text);

/// Reads a source file as a document. The Error says when it is missing, larger than 64 MiB or not
/// UTF-8, and where.
[[nodiscard]] Result<lsp::DocumentSnapshot> read_document(const std::filesystem::path& file);

struct FileCompletion {
  std::string text;             ///< to insert at the location
  std::size_t offset = 0;       ///< byte of the document at which it goes
  std::size_t replace_end = 0;  ///< document bytes [offset, replace_end) give way to it
  engine::Usage usage;
  Duration first_token{};  ///< request to first token; the whole time if there was none
  Duration total{};
};

/// Asks the engine what a session would ask it, and waits. A line behind the end of the file is an
/// Error, a column behind the end of its line is clamped to it.
[[nodiscard]] Result<FileCompletion> complete_file(engine::Engine& engine,
                                                   const lsp::DocumentSnapshot& document,
                                                   const FileLocation& location,
                                                   const Settings& settings, const Clock& clock);

}  // namespace caretd::daemon
