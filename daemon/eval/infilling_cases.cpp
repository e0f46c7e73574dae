// Where the holes come from: files of cases, and source files.
#include <algorithm>
#include <memory>
#include <random>

#include <nlohmann/json.hpp>
#include <spdlog/fmt/fmt.h>
#include <zlib.h>

#include "daemon/eval/infilling.h"
#include "lsp/context/completion_site.h"
#include "lsp/documents/text.h"

namespace caretd::daemon {

namespace {

constexpr std::size_t kLargestCaseFile = std::size_t{512} << 20;

/// Plain or compressed: zlib's reader tells them apart.
Result<std::string> read_maybe_compressed(const std::filesystem::path& file) {
  struct Close {
    void operator()(gzFile_s* open) const { gzclose(open); }
  };
  const std::unique_ptr<gzFile_s, Close> open(gzopen(file.c_str(), "rb"));
  if (!open) return fail(ErrorKind::not_found, file.string() + " cannot be opened");
  std::string text;
  std::string buffer(std::size_t{1} << 16, '\0');
  while (true) {
    const int bytes = gzread(open.get(), buffer.data(), static_cast<unsigned>(buffer.size()));
    if (bytes < 0) return fail(ErrorKind::io, file.string() + " is damaged or cannot be read");
    if (bytes == 0) return text;
    text.append(buffer, 0, static_cast<std::size_t>(bytes));
    if (text.size() > kLargestCaseFile) {
      return fail(ErrorKind::invalid_input, file.string() + " holds more than 512 MiB");
    }
  }
}

Result<std::string> field(const nlohmann::json& value, const char* name) {
  const auto found = value.is_object() ? value.find(name) : value.end();
  if (!value.is_object() || found == value.end() || !found->is_string()) {
    return fail(ErrorKind::invalid_input,
                fmt::format("the field \"{}\" is missing or no text", name));
  }
  return found->get<std::string>();
}

Result<InfillingCase> parse_case(std::string_view line) {
  const nlohmann::json value = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) return fail(ErrorKind::invalid_input, "the line is not JSON");
  InfillingCase result;
  for (const auto& [name, member] :
       {std::pair{"task_id", &InfillingCase::id}, std::pair{"prompt", &InfillingCase::prefix},
        std::pair{"suffix", &InfillingCase::suffix},
        std::pair{"canonical_solution", &InfillingCase::expected}}) {
    auto text = field(value, name);
    if (!text) return pass_on(std::move(text));
    result.*member = *std::move(text);
  }
  return result;
}

bool continues_character(char c) {
  return (static_cast<unsigned char>(c) & 0xC0) == 0x80;
}

}  // namespace

Result<std::vector<InfillingCase>> read_infilling_file(const std::filesystem::path& file) {
  const auto text = read_maybe_compressed(file);
  if (!text) return fail(text.error().kind, text.error().message);
  std::vector<InfillingCase> cases;
  std::size_t number = 0;
  std::size_t begin = 0;
  while (begin < text->size()) {
    const std::size_t end = std::min(text->find('\n', begin), text->size());
    const std::string_view line = std::string_view(*text).substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (lsp::trimmed(line).empty()) continue;
    auto parsed = parse_case(line);
    if (!parsed) return pass_on(std::move(parsed), fmt::format("{}:{}", file.string(), number));
    cases.push_back(*std::move(parsed));
  }
  if (cases.empty()) return fail(ErrorKind::invalid_input, file.string() + " holds no cases");
  return cases;
}

std::vector<InfillingCase> random_holes(std::string_view path, std::string_view source,
                                        std::size_t count, std::uint64_t seed) {
  const lsp::Text text{std::string(source)};
  std::vector<std::size_t> lines;
  for (std::size_t line = 0; line < text.line_count(); ++line) {
    if (!lsp::trimmed(text.line(line)).empty()) lines.push_back(line);
  }
  // The engine's numbers are the same everywhere, the distributions of the library are not.
  std::mt19937_64 random(seed);
  for (std::size_t i = lines.size(); i > 1; --i) std::swap(lines[i - 1], lines[random() % i]);
  lines.resize(std::min(lines.size(), count));
  std::vector<InfillingCase> cases;
  for (const std::size_t line : lines) {
    const std::size_t end = text.line_end(line);
    const std::size_t code = text.line_start(line) + text.line(line).find_first_not_of(" \t");
    std::size_t hole = code + random() % (end - code);
    while (hole > code && continues_character(source[hole])) --hole;
    InfillingCase made;
    made.id = fmt::format("{}:{}:{}", path, line + 1, hole - text.line_start(line) + 1);
    made.path = path;
    made.prefix = source.substr(0, hole);
    made.suffix = source.substr(end);
    made.expected = source.substr(hole, end - hole);
    cases.push_back(std::move(made));
  }
  return cases;
}

}  // namespace caretd::daemon
