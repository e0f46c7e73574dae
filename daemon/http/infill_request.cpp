// llama.cpp's POST /infill, as llama.vim and llama.vscode send it.
// https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
#include <utility>

#include "daemon/http/field_reading.h"
#include "daemon/http/requests.h"

namespace caretd::daemon::api {

namespace {

using lsp::Json;
using lsp::JsonPath;
using lsp::ObjectReader;

constexpr std::size_t kMostExtraPieces = 1024;
constexpr std::size_t kMostResponseFields = 64;
constexpr int kLongestTimeMs = 600'000;
constexpr double kVariedTemperature = 0.8;  // llama.cpp's default: several choices are to differ

struct Extra {
  std::vector<ExtraContext> pieces;
};

bool read(const Json& json, Extra& extra, const JsonPath& path) {
  if (!json.is_array()) return path.expected("an array");
  for (std::size_t i = 0; i < json.size(); ++i) {
    ExtraContext& piece = extra.pieces.emplace_back();
    const JsonPath at = path.element(i);
    ObjectReader reader(json[i], at);
    if (!reader.required("text", piece.text).optional("filename", piece.filename)) return false;
  }
  return true;
}

}  // namespace

Parsed<InfillFields> parse_infill(std::string_view text) {
  const auto body = parse_body(text);
  if (!body) return tl::unexpected(body.error());
  InfillFields fields;
  CommonFields& common = fields.common;
  common.sampling.temperature = 0.0F;
  std::string fault;
  const JsonPath path(fault);
  ObjectReader reader(*body, path);
  RangeCheck check;
  std::optional<std::int64_t> seed;
  StopStrings stop;
  Extra extra;
  std::optional<int> time_limit;
  reader.required("input_prefix", fields.prefix)
      .required("input_suffix", fields.suffix)
      .optional("prompt", fields.typed)
      .optional("input_extra", extra)
      .optional("model", common.model)
      .optional("n_predict", common.max_tokens)
      .optional("n", common.n)
      .optional("n_cmpl", common.n)
      .optional("stop", stop)
      .optional("stream", common.stream)
      .optional("t_max_predict_ms", time_limit)
      .optional("response_fields", fields.response_fields);
  read_sampling(reader, common.sampling, seed, check);
  if (!reader) return tl::unexpected(malformed(fault));
  if (common.max_tokens == -1) common.max_tokens = kMostTokens;  // "until it ends by itself"
  check.within("n_cmpl", common.n, 1, kMostInfillChoices);
  check.within("n_predict", common.max_tokens, 0, kMostTokens);
  check.within("input_extra", extra.pieces.size(), 0, static_cast<double>(kMostExtraPieces));
  check.within("t_max_predict_ms", time_limit, 0, kLongestTimeMs);
  if (fields.response_fields) {
    check.within("response_fields", fields.response_fields->size(), 0,
                 static_cast<double>(kMostResponseFields));
  }
  check.stop_strings(stop.strings);
  if (common.n > 1 && !body->contains("temperature")) {
    common.sampling.temperature = static_cast<float>(kVariedTemperature);
  }
  if (check.fault()) return tl::unexpected(*check.fault());
  common.stop = std::move(stop.strings);
  // -1 stands for a random seed there.
  if (seed && *seed >= 0) common.seed = static_cast<std::uint64_t>(*seed);
  if (time_limit && *time_limit > 0) fields.time_limit = std::chrono::milliseconds(*time_limit);
  fields.extra = std::move(extra.pieces);
  return fields;
}

}  // namespace caretd::daemon::api
