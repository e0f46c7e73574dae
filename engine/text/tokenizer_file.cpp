#include "engine/text/tokenizer_file.h"

#include <fstream>
#include <iterator>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include <nlohmann/json.hpp>

#include "engine/text/byte_alphabet.h"
#include "engine/text/json_fields.h"

namespace caretd::engine {
namespace {

using nlohmann::json;

/// Well above every published vocabulary; keeps a hostile id from claiming memory.
constexpr std::int64_t kIdLimit = 1 << 22;
constexpr std::uintmax_t kFileLimit = 256U << 20;

Result<std::string> read_whole(const std::filesystem::path& file) {
  std::error_code failure;
  const std::uintmax_t size = std::filesystem::file_size(file, failure);
  if (failure) {
    return fail(ErrorKind::not_found,
                file.string() + " cannot be read (" + failure.message() + ")");
  }
  if (size > kFileLimit) {
    return fail(ErrorKind::invalid_input, file.string() + " is larger than any tokenizer file");
  }
  std::ifstream stream(file, std::ios::binary);
  std::string content{std::istreambuf_iterator<char>(stream), {}};
  if (!stream) return fail(ErrorKind::io, file.string() + " cannot be read");
  return content;
}

Result<json> read_json(const std::filesystem::path& file) {
  const auto content = read_whole(file);
  if (!content) return tl::unexpected(content.error());
  json document = json::parse(*content, nullptr, /*allow_exceptions=*/false);
  if (document.is_discarded()) {
    return fail(ErrorKind::invalid_input,
                file.string() + " is not JSON: it may be truncated, download it again");
  }
  return document;
}

/// DeepSeek's files name every control token <｜...｜> (U+FF5C), but mark some as ordinary.
bool has_control_form(std::string_view content) {
  constexpr std::string_view open = "<｜";
  constexpr std::string_view close = "｜>";
  return content.size() > open.size() + close.size() && content.starts_with(open) &&
         content.ends_with(close);
}

using IdOfEntry = std::unordered_map<std::string_view, TokenId>;

/// Reads model.vocab. The views in `ids` point into `vocab`.
Result<void> read_vocabulary(const json& vocab, const std::string& where, TokenizerFile& out,
                             IdOfEntry& ids) {
  std::vector<bool> seen(kIdLimit);
  ids.reserve(vocab.size());
  out.vocabulary.reserve(vocab.size());
  for (const auto& [entry, value] : vocab.items()) {
    const bool good = value.is_number_integer() && value.get<std::int64_t>() >= 0 &&
                      value.get<std::int64_t>() < kIdLimit;
    const TokenId id = good ? value.get<TokenId>() : 0;
    if (!good || seen[id]) {
      return fail(ErrorKind::invalid_input,
                  where + "[\"" + entry + "\"] must be an id of its own, at least 0 and below " +
                      std::to_string(kIdLimit));
    }
    seen[id] = true;
    ids.emplace(entry, id);
    auto bytes = bytes_of_vocabulary_entry(entry);
    const bool reachable = bytes.has_value() && !bytes->empty();
    out.vocabulary.push_back({reachable ? *std::move(bytes) : entry, id, reachable});
  }
  return {};
}

/// Both spellings of a merge: "left right" and ["left", "right"].
std::optional<std::pair<std::string_view, std::string_view>> merge_parts(const json& merge) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return std::pair<std::string_view, std::string_view>{merge[0].get_ref<const std::string&>(),
                                                         merge[1].get_ref<const std::string&>()};
  }
  if (!merge.is_string()) return {};
  const std::string_view both = merge.get_ref<const std::string&>();
  const std::size_t space = both.find(' ');
  if (space == std::string_view::npos || both.find(' ', space + 1) != std::string_view::npos) {
    return {};
  }
  return std::pair{both.substr(0, space), both.substr(space + 1)};
}

Result<void> read_merges(const json& merges, const std::string& where, const IdOfEntry& ids,
                         TokenizerFile& out) {
  out.merges.reserve(merges.size());
  std::string result;
  for (std::size_t i = 0; i < merges.size(); ++i) {
    const auto parts = merge_parts(merges[i]);
    if (!parts) {
      return fail(ErrorKind::invalid_input,
                  where + "[" + std::to_string(i) + "] must be two vocabulary entries");
    }
    result.assign(parts->first).append(parts->second);
    const auto left = ids.find(parts->first);
    const auto right = ids.find(parts->second);
    const auto merged = ids.find(result);
    if (left == ids.end() || right == ids.end() || merged == ids.end()) {
      return fail(ErrorKind::invalid_input, where + "[" + std::to_string(i) + "] makes \"" +
                                                result +
                                                "\" from entries of which model.vocab lacks one");
    }
    out.merges.push_back({left->second, right->second, merged->second});
  }
  return {};
}

/// Options of a BPE model that change the ids and that byte-level models leave unset.
void refuse_model_options(JsonFields& model) {
  if (model.text("type", "BPE") != "BPE") {
    model.complain("type", "is not supported; caretd reads byte-level BPE tokenizers",
                   ErrorKind::unsupported);
  }
  const json* dropout = model.optional("dropout");
  if (dropout != nullptr && *dropout != 0) {
    model.complain("dropout", "is not supported; it must be null", ErrorKind::unsupported);
  }
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!model.text(affix).empty()) {
      model.complain(affix, "is not supported; it must be null", ErrorKind::unsupported);
    }
  }
}

Result<void> read_model(const json& document, const std::string& name, TokenizerFile& out) {
  JsonFields root(document, name);
  const json* object = root.object("model");
  if (object == nullptr) return tl::unexpected(*root.error());
  JsonFields model(*object, root.path("model"));
  refuse_model_options(model);
  out.ignore_merges = model.flag("ignore_merges", false);
  const json* vocab = model.object("vocab");
  const json* merges = model.array("merges");
  if (model.error()) return tl::unexpected(*model.error());
  IdOfEntry ids;
  if (auto read = read_vocabulary(*vocab, model.path("vocab"), out, ids); !read) return read;
  return read_merges(*merges, model.path("merges"), ids, out);
}

/// An added token either is the vocabulary entry of the same content or shares no id with one.
Result<void> check_added_token(const AddedToken& token, const std::string& where,
                               const std::vector<bool>& used_ids, const json& vocab) {
  const auto same_text = vocab.find(token.content);
  const bool in_vocabulary = same_text != vocab.end();
  if (token.content.empty() || used_ids[token.id] != in_vocabulary ||
      (in_vocabulary && *same_text != token.id)) {
    return fail(ErrorKind::invalid_input,
                where + " has an id or content that model.vocab uses for something else");
  }
  return {};
}

Result<void> read_added_tokens(const json& document, const std::string& name, TokenizerFile& out) {
  JsonFields root(document, name);
  if (root.optional("added_tokens") == nullptr) return {};
  const json* list = root.array("added_tokens");
  if (list == nullptr) return tl::unexpected(*root.error());
  std::vector<bool> used_ids(kIdLimit);
  for (const VocabularyEntry& entry : out.vocabulary) used_ids[entry.id] = true;
  std::unordered_set<TokenId> ids;
  std::unordered_set<std::string> contents;
  for (std::size_t i = 0; i < list->size(); ++i) {
    JsonFields fields((*list)[i], root.path("added_tokens") + "[" + std::to_string(i) + "]");
    AddedToken token;
    token.id = static_cast<TokenId>(fields.index("id", kIdLimit));
    token.content = fields.text("content");
    token.single_word = fields.flag("single_word", false);
    token.lstrip = fields.flag("lstrip", false);
    token.rstrip = fields.flag("rstrip", false);
    const bool special = fields.flag("special", false);
    token.normalized = fields.flag("normalized", !special);
    token.control = special || has_control_form(token.content);
    if (!ids.insert(token.id).second) fields.complain("id", "is there twice");
    if (!contents.insert(token.content).second) fields.complain("content", "is there twice");
    if (fields.error()) return tl::unexpected(*fields.error());
    const std::string where = root.path("added_tokens") + "[" + std::to_string(i) + "]";
    if (auto good = check_added_token(token, where, used_ids, document["model"]["vocab"]); !good) {
      return good;
    }
    out.added_tokens.push_back(std::move(token));
  }
  return {};
}

std::optional<SplitBehavior> split_behavior(std::string_view name) {
  if (name == "Isolated") return SplitBehavior::isolated;
  if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
  if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
  if (name == "Contiguous") return SplitBehavior::contiguous;
  return {};
}

Result<PreTokenizerStep> read_split(JsonFields& fields) {
  SplitStep step;
  const json* pattern = fields.object("pattern");
  if (pattern == nullptr) return tl::unexpected(*fields.error());
  JsonFields choice(*pattern, fields.path("pattern"));
  step.is_regex = choice.optional("Regex") != nullptr;
  step.pattern = choice.text(step.is_regex ? "Regex" : "String");
  if (step.pattern.empty()) choice.complain("Regex", "or .String must be a string to split at");
  if (choice.error()) return tl::unexpected(*choice.error());
  const auto behavior = split_behavior(fields.text("behavior"));
  if (!behavior) {
    fields.complain("behavior",
                    "is not supported; caretd knows Isolated, MergedWithPrevious, MergedWithNext "
                    "and Contiguous, which keep all text",
                    ErrorKind::unsupported);
  }
  step.behavior = behavior.value_or(SplitBehavior::isolated);
  step.invert = fields.flag("invert", false);
  if (fields.error()) return tl::unexpected(*fields.error());
  return step;
}

/// A pre-tokenizer that is no Sequence.
Result<PreTokenizerStep> read_step(const json& object, const std::string& where) {
  JsonFields fields(object, where);
  const std::string type = fields.text("type");
  if (fields.error()) return tl::unexpected(*fields.error());
  if (type == "Split") return read_split(fields);
  PreTokenizerStep step;
  if (type == "Digits") {
    step = DigitsStep{fields.flag("individual_digits", false)};
  } else if (type == "ByteLevel") {
    step = ByteLevelStep{fields.flag("add_prefix_space", false), fields.flag("use_regex", true)};
  } else {
    fields.complain("type",
                    "\"" + type +
                        "\" is not supported; caretd knows Sequence, Split, Digits and "
                        "ByteLevel",
                    ErrorKind::unsupported);
  }
  if (fields.error()) return tl::unexpected(*fields.error());
  return step;
}

Result<void> read_steps(const json& object, const std::string& where,
                        std::vector<PreTokenizerStep>& out) {
  if (!object.is_object() || object.value("type", json()) != "Sequence") {
    auto step = read_step(object, where);
    if (!step) return pass_on(std::move(step));
    out.push_back(*std::move(step));
    return {};
  }
  JsonFields fields(object, where);
  const json* list = fields.array("pretokenizers");
  if (list == nullptr) return tl::unexpected(*fields.error());
  for (std::size_t i = 0; i < list->size(); ++i) {
    auto step = read_step((*list)[i], fields.path("pretokenizers") + "[" + std::to_string(i) + "]");
    if (!step) return pass_on(std::move(step));
    out.push_back(*std::move(step));
  }
  return {};
}

Result<void> read_pre_tokenizer(const json& document, const std::string& name, TokenizerFile& out) {
  JsonFields root(document, name);
  const json* object = root.object("pre_tokenizer");
  if (object == nullptr) return tl::unexpected(*root.error());
  if (auto read = read_steps(*object, root.path("pre_tokenizer"), out.pre_tokenizer); !read) {
    return read;
  }
  std::size_t byte_levels = 0;
  for (const auto& step : out.pre_tokenizer) {
    byte_levels += std::holds_alternative<ByteLevelStep>(step) ? 1 : 0;
  }
  if (byte_levels != 1 || !std::holds_alternative<ByteLevelStep>(out.pre_tokenizer.back())) {
    root.complain("pre_tokenizer", "must end in ByteLevel, once: caretd reads byte-level BPE only",
                  ErrorKind::unsupported);
    return tl::unexpected(*root.error());
  }
  return {};
}

/// A normalizer would make text that decodes to something else than what was encoded.
Result<void> refuse_normalizer(const json& document, const std::string& name) {
  JsonFields root(document, name);
  const json* normalizer = root.optional("normalizer");
  if (normalizer == nullptr) return {};
  const bool empty_sequence = normalizer->is_object() && normalizer->contains("normalizers") &&
                              (*normalizer)["normalizers"].empty();
  if (empty_sequence) return {};
  root.complain("normalizer", "is not supported; it must be null or an empty Sequence",
                ErrorKind::unsupported);
  return tl::unexpected(*root.error());
}

Result<void> check_decoder(const json& document, const std::string& name) {
  JsonFields root(document, name);
  const json* decoder = root.optional("decoder");
  if (decoder == nullptr ||
      (decoder->is_object() && decoder->value("type", json()) == "ByteLevel")) {
    return {};
  }
  root.complain("decoder", "is not supported; it must be null or ByteLevel",
                ErrorKind::unsupported);
  return tl::unexpected(*root.error());
}

/// bos_token and eos_token are a string or an added token written out.
std::string token_text(JsonFields& fields, const char* name) {
  const json* member = fields.optional(name);
  if (member == nullptr || !member->is_object()) return fields.text(name);
  JsonFields token(*member, fields.path(name));
  std::string content = token.text("content");
  if (token.error()) fields.complain(name, "must name the token by its content");
  return content;
}

/// chat_template is a string or a list of named ones, of which "default" is meant.
std::string default_template(JsonFields& fields) {
  const json* member = fields.optional("chat_template");
  if (member == nullptr || !member->is_array()) return fields.text("chat_template");
  for (const json& choice : *member) {
    JsonFields named(choice, fields.path("chat_template"));
    if (named.text("name") == "default") return named.text("template");
  }
  return {};
}

}  // namespace

Result<TokenizerFile> read_tokenizer_file(const std::filesystem::path& file) {
  auto document = read_json(file);
  if (!document) return pass_on(std::move(document));
  const std::string name = file.string() + ":";
  TokenizerFile out;
  for (auto* read : {&refuse_normalizer, &check_decoder}) {
    if (auto done = read(*document, name); !done) return pass_on(std::move(done));
  }
  for (auto* read : {&read_pre_tokenizer, &read_model, &read_added_tokens}) {
    if (auto done = read(*document, name, out); !done) return pass_on(std::move(done));
  }
  return out;
}

Result<TokenizerConfig> read_tokenizer_config(const std::filesystem::path& file) {
  TokenizerConfig config;
  std::error_code ignored;
  if (std::filesystem::exists(file, ignored)) {
    auto document = read_json(file);
    if (!document) return pass_on(std::move(document));
    JsonFields fields(*document, file.string() + ":");
    config.begin_of_sentence = token_text(fields, "bos_token");
    config.end_of_sentence = token_text(fields, "eos_token");
    config.chat_template = default_template(fields);
    if (fields.error()) return tl::unexpected(*fields.error());
  }
  const std::filesystem::path own_file = file.parent_path() / "chat_template.jinja";
  if (std::filesystem::exists(own_file, ignored)) {
    auto jinja = read_whole(own_file);
    if (!jinja) return pass_on(std::move(jinja));
    config.chat_template = *std::move(jinja);
  }
  return config;
}

}  // namespace caretd::engine
