#include "engine/checkpoint/checksum.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <memory>
#include <optional>
#include <sstream>
#include <string_view>
#include <utility>

#include <openssl/evp.h>

#include "engine/checkpoint/mapped_file.h"

namespace caretd::engine {
namespace {

constexpr size_t kStretch = size_t{4} << 20;
constexpr size_t kSumDigits = 64;

struct ContextDeleter {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

std::string hexadecimal(std::span<const unsigned char> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

bool is_sum(std::string_view text) {
  return text.size() == kSumDigits &&
         std::ranges::all_of(text, [](unsigned char c) { return std::isxdigit(c) != 0; });
}

std::string lower_case(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), [](unsigned char c) { return std::tolower(c); });
  return result;
}

std::optional<ListedSum> parse_tagged(std::string_view line) {
  constexpr std::string_view kTag = "SHA256 (";
  constexpr std::string_view kEnd = ") = ";
  if (!line.starts_with(kTag) || line.size() < kTag.size() + kEnd.size() + kSumDigits) return {};
  const std::string_view sum = line.substr(line.size() - kSumDigits);
  line.remove_prefix(kTag.size());
  line.remove_suffix(kSumDigits);
  if (!is_sum(sum) || !line.ends_with(kEnd)) return {};
  line.remove_suffix(kEnd.size());
  return ListedSum{std::string(line), lower_case(sum)};
}

std::optional<ListedSum> parse_plain(std::string_view line) {
  if (line.size() < kSumDigits + 3 || !is_sum(line.substr(0, kSumDigits))) return {};
  const std::string_view separator = line.substr(kSumDigits, 2);
  if (separator != "  " && separator != " *") return {};
  return ListedSum{std::string(line.substr(kSumDigits + 2)),
                   lower_case(line.substr(0, kSumDigits))};
}

}  // namespace

Result<std::string> sha256_of(std::span<const std::byte> mapped,
                              const std::function<void(size_t)>& advance,
                              const std::stop_token& stop) {
  const std::unique_ptr<EVP_MD_CTX, ContextDeleter> context(EVP_MD_CTX_new());
  bool good = context != nullptr && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1;
  while (good && !mapped.empty()) {
    if (stop.stop_requested()) return fail(ErrorKind::cancelled, "the check was cancelled.");
    const auto stretch = mapped.first(std::min(kStretch, mapped.size()));
    good = EVP_DigestUpdate(context.get(), stretch.data(), stretch.size()) == 1;
    drop_pages(stretch);
    advance(stretch.size());
    mapped = mapped.subspan(stretch.size());
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned length = 0;
  if (!good || EVP_DigestFinal_ex(context.get(), digest.data(), &length) != 1) {
    return fail(ErrorKind::internal, "the SHA-256 implementation reported an error.");
  }
  return hexadecimal(std::span(digest).first(length));
}

Result<std::vector<ListedSum>> parse_sums(const std::string& text) {
  std::vector<ListedSum> sums;
  std::istringstream lines(text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty() || line.starts_with('#')) continue;
    auto sum = parse_tagged(line);
    if (!sum) sum = parse_plain(line);
    const std::string where = "line " + std::to_string(number);
    if (!sum) return fail(ErrorKind::invalid_input, where + " is no SHA-256 sum with a file name.");
    if (sum->file.starts_with("./")) sum->file.erase(0, 2);
    if (sum->file.empty() || sum->file == ".." || sum->file.find('/') != std::string::npos) {
      return fail(ErrorKind::invalid_input, where + " names a file outside of the model folder.");
    }
    sums.push_back(std::move(*sum));
  }
  if (sums.empty()) return fail(ErrorKind::invalid_input, "there is no sum in it.");
  return sums;
}

}  // namespace caretd::engine
