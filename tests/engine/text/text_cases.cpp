#include "tests/engine/text/text_cases.h"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "engine/text/byte_alphabet.h"

namespace caretd::engine::test {
namespace {

std::shared_ptr<const Tokenizer> load_or_throw(const std::filesystem::path& folder) {
  auto tokenizer = Tokenizer::load(folder);
  if (!tokenizer) throw std::runtime_error(tokenizer.error().message);
  return *tokenizer;
}

template <typename T>
const T& pick(std::mt19937_64& random, const std::vector<T>& from) {
  return from[random() % from.size()];
}

}  // namespace

const Tokenizer& tiny_tokenizer() {
  static const auto tokenizer = load_or_throw("models/tiny");
  return *tokenizer;
}

const Tokenizer& deepseek_tokenizer() {
  static const auto tokenizer = load_or_throw(deepseek_folder());
  return *tokenizer;
}

std::filesystem::path deepseek_folder() {
  return CARETD_DEEPSEEK_TOKENIZER;
}

std::string read_file(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw std::runtime_error("cannot read " + file.string());
  return {std::istreambuf_iterator<char>(stream), {}};
}

nlohmann::json small_tokenizer_document() {
  nlohmann::json vocab;
  for (int byte = 0; byte < 256; ++byte) {
    vocab[vocabulary_entry_of_byte(static_cast<unsigned char>(byte))] = byte;
  }
  const std::vector<std::string> merges = {"a b", "ab ab", "ab c", "Ġ a"};
  for (const std::string& merge : merges) {
    std::string entry = merge;
    entry.erase(entry.find(' '), 1);
    vocab[entry] = vocab.size();
  }
  const nlohmann::json steps = {
      {{"type", "Split"}, {"pattern", {{"Regex", "[\\r\\n]"}}}, {"behavior", "Isolated"}},
      {{"type", "Split"},
       {"pattern", {{"Regex", "\\s?\\p{L}+|x"}}},
       {"behavior", "Isolated"},
       {"invert", false}},
      {{"type", "Digits"}, {"individual_digits", true}},
      {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}};
  return {{"added_tokens",
           {{{"id", 300}, {"content", "<｜end▁of▁sentence｜>"}, {"special", true}},
            {{"id", 301}, {"content", "<｜fim▁hole｜>"}, {"special", true}}}},
          {"normalizer", nullptr},
          {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", steps}}},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}}}};
}

// clang-format off
const std::vector<std::string>& fragments() {
  static const std::vector<std::string> all = {
      "a", "return", "self.", "_name", "Foo", "x1", "0", "42", "3.14", " ", "  ", "    ", "\t", "\n",
      "\r\n", "\r", "\n\n", " \n", "(", ")", "{}", "->", "==", "!", "\"", "'s", "'", "#", "//",
      "é", "ü", "ÿ", "À", "ß", "нещо", "Ελλ", "数据", "結構", "이름", "ﬁ", "„“", "—", "…", "。", "，",
      "\u3000", "\u00A0", "\u2003", "\u180E", "\u0085", "\u2028", "½", "٣", "Ⅷ", "𝟘", "🚀", "👩‍💻",
      "𐐀", "ខ្មែ", "\u0301", "\u200D", "\uFEFF", "\x01", "\v", "\f", "<｜fim▁hole｜>",
      "<｜begin▁of▁sentence｜>", "<｜", "｜>", "<|fim|>"};
  return all;
}
// clang-format on

std::string random_text(std::mt19937_64& random, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += pick(random, fragments());
  return text;
}

std::string random_bytes(std::mt19937_64& random, int count) {
  static const std::vector<std::string> awkward = {
      "\xFF", "\xC0", "\xED", "\xED\xB2", "\xED\xB3\xBF", "\xF5", "\xC3", "\xF0\x9F\x9A", "\x80"};
  std::string bytes;
  for (int i = 0; i < count; ++i) {
    switch (random() % 4) {
      case 0:
        bytes += pick(random, fragments());
        break;
      case 1:
        bytes += pick(random, awkward);
        break;
      default:
        bytes += static_cast<char>(random() % 256);
    }
  }
  return bytes;
}

TemporaryFolder::TemporaryFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "caretd-text-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make " + name);
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void TemporaryFolder::write(const std::string& name, std::string_view content) const {
  std::ofstream(path_ / name, std::ios::binary) << content;
}

}  // namespace caretd::engine::test
