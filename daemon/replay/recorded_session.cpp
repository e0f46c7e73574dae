// parse_session(): JSON lines to typing scripts.
#include <algorithm>
#include <map>
#include <optional>

#include <nlohmann/json.hpp>
#include <spdlog/fmt/fmt.h>

#include "daemon/replay/typing_script.h"
#include "lsp/documents/text.h"
#include "lsp/syntax/language.h"

namespace caretd::daemon::replay {

namespace {

using nlohmann::json;

constexpr double kLongestWaitMs = 3.6e6;

tl::unexpected<Error> bad(const std::string& what) {
  return fail(ErrorKind::invalid_input, what);
}

Result<std::string> text_field(const json& line, const char* name) {
  const auto found = line.find(name);
  if (found == line.end() || !found->is_string()) {
    return bad(fmt::format("the field \"{}\" is missing or no text", name));
  }
  std::string text = found->get<std::string>();
  if (!lsp::is_valid_utf8(text)) return bad(fmt::format("the field \"{}\" is not UTF-8", name));
  return text;
}

Result<Duration> wait_of(const json& line) {
  const auto found = line.find("wait");
  if (found == line.end()) return Duration{};
  const double ms = found->is_number() ? found->get<double>() : -1;
  if (!(ms >= 0 && ms <= kLongestWaitMs)) {
    return bad("the field \"wait\" is no number of milliseconds from 0 to 3,600,000");
  }
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::milli>(ms));
}

/// Follows one session through its lines.
class Reader {
 public:
  Result<void> take(const json& line) {
    if (!line.is_object()) return bad("the line is no JSON object");
    if (line.contains("open")) return open(line);
    if (files_.empty()) return bad("the session has to begin with a line that has \"open\"");
    if (line.contains("move")) return move(line);
    if (line.contains("type")) return type(line);
    if (line.contains("erase")) return erase(line);
    return bad("the line has none of open, move, type and erase");
  }

  std::vector<TypedFile> finish() {
    end_stretch();
    std::erase_if(files_, [](const TypedFile& file) { return file.stretches.empty(); });
    return std::move(files_);
  }

 private:
  Result<void> open(const json& line) {
    end_stretch();
    auto name = text_field(line, "open");
    if (!name) return pass_on(std::move(name));
    auto text = text_field(line, "text");
    if (!text) return pass_on(std::move(text));
    std::string language(lsp::find_language(line.value("language", json()).is_string()
                                                ? line["language"].get<std::string>()
                                                : std::string(),
                                            *name)
                             .id);
    document_ = lsp::Text(*text);
    cursor_ = 0;
    files_.push_back({*std::move(name), std::move(language), *std::move(text), {}});
    return {};
  }

  Result<void> move(const json& line) {
    const json& place = line["move"];
    const bool valid = place.is_array() && place.size() == 2 && place[0].is_number_unsigned() &&
                       place[1].is_number_unsigned();
    if (!valid) return bad("the field \"move\" is not [line, byte], both counted from 0");
    auto wait = wait_of(line);
    if (!wait) return pass_on(std::move(wait));
    const auto row = place[0].get<std::size_t>();
    const auto byte = place[1].get<std::size_t>();
    if (row >= document_.line_count() || byte > document_.line(row).size()) {
      return bad("the field \"move\" names a place that the text does not have");
    }
    end_stretch();
    cursor_ = document_.line_start(row) + byte;
    stretch_wait_ = *wait;
    return {};
  }

  Result<void> type(const json& line) {
    auto text = text_field(line, "type");
    if (!text) return pass_on(std::move(text));
    auto wait = wait_of(line);
    if (!wait) return pass_on(std::move(wait));
    for (Stroke stroke : strokes_of(*text)) {
      stroke.wait = *wait;
      stroke.slip = std::exchange(slip_, {});
      typed().push_back(std::move(stroke));
    }
    return {};
  }

  /// Typed strokes that are taken back become the slip of the one that is typed in their place.
  Result<void> erase(const json& line) {
    const json& field = line["erase"];
    if (!field.is_number_unsigned()) return bad("the field \"erase\" is no count of characters");
    auto count = field.get<std::size_t>();
    std::string taken_back;
    for (; count > 0 && stretch_ && !stretch_->strokes.empty(); --count) {
      Stroke& last = stretch_->strokes.back();
      taken_back.insert(0, last.slip + last.text);
      stretch_->strokes.pop_back();
    }
    slip_.insert(0, taken_back);
    if (count == 0) return {};
    end_stretch();
    const std::string_view before = document_.view().substr(0, cursor_);
    std::size_t begin = before.size();
    for (; count > 0 && begin > 0; --count) {
      while (--begin > 0 && (static_cast<unsigned char>(before[begin]) & 0xC0) == 0x80) {
      }
    }
    if (count > 0) return bad("the field \"erase\" is more than stands in front of the cursor");
    stretch_.emplace();
    stretch_->offset = cursor_;
    stretch_->erased = cursor_ - begin;
    return {};
  }

  std::vector<Stroke>& typed() {
    if (!stretch_) {
      stretch_.emplace();
      stretch_->offset = cursor_;
      stretch_->wait = std::exchange(stretch_wait_, {});
    }
    return stretch_->strokes;
  }

  /// Keeps the stretch and has the document as it is after it.
  void end_stretch() {
    slip_.clear();
    if (!stretch_) return;
    std::string text;
    for (const Stroke& stroke : stretch_->strokes) text += stroke.text;
    const std::size_t begin = stretch_->offset - stretch_->erased;
    document_.replace(begin, stretch_->offset, text);
    cursor_ = begin + text.size();
    files_.back().stretches.push_back(*std::exchange(stretch_, std::nullopt));
  }

  std::vector<TypedFile> files_;
  lsp::Text document_;
  std::size_t cursor_ = 0;
  std::optional<Stretch> stretch_;
  Duration stretch_wait_{};
  std::string slip_;
};

}  // namespace

Result<std::vector<TypedFile>> parse_session(std::string_view json_lines) {
  Reader reader;
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < json_lines.size();) {
    const std::size_t end = std::min(json_lines.find('\n', begin), json_lines.size());
    const std::string_view line = json_lines.substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const json value = json::parse(line, nullptr, /*allow_exceptions=*/false);
    auto taken =
        value.is_discarded() ? Result<void>(bad("the line is not JSON")) : reader.take(value);
    if (!taken) return pass_on(std::move(taken), fmt::format("line {}", number));
  }
  auto files = reader.finish();
  if (files.empty()) return bad("the session types nothing");
  return files;
}

}  // namespace caretd::daemon::replay
