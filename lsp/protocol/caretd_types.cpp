#include "lsp/protocol/caretd_types.h"

#include <cmath>

namespace caretd::lsp {
namespace {

std::string_view state_name(const engine::EngineStatus& status) {
  switch (status.state) {
    case engine::EngineState::starting:
      return "starting";
    case engine::EngineState::ready:
      return status.busy ? "busy" : "ready";
    case engine::EngineState::off:
      return "off";
    case engine::EngineState::failed:
      return "failed";
  }
  return "failed";
}

std::string_view source_name(AnswerSource source) {
  switch (source) {
    case AnswerSource::model:
      return "model";
    case AnswerSource::cache:
      return "cache";
    case AnswerSource::taken_over:
      return "takenOver";
  }
  return "model";
}

Json to_json_value(const Percentiles& value) {
  return {{"p50", value.p50}, {"p90", value.p90}, {"p99", value.p99}};
}

Json to_json_value(const engine::EngineStatistics& value) {
  return {{"requests", value.requests},
          {"promptTokens", value.prompt_tokens},
          {"cachedTokens", value.cached_tokens},
          {"generatedTokens", value.generated_tokens},
          {"steps", value.steps},
          {"running", value.running},
          {"queued", value.queued},
          {"kvUsedBytes", value.kv_used_bytes},
          {"kvPinnedBytes", value.kv_pinned_bytes},
          {"longestStepMs", to_milliseconds(value.longest_step)}};
}

Json pieces_of(const CompletionTrace& trace) {
  Json pieces = Json::array();
  for (const PromptPiece& piece : trace.pieces) {
    pieces.push_back({{"kind", to_string(piece.kind)},
                      {"uri", piece.source},
                      {"begin", piece.begin},
                      {"end", piece.end},
                      {"tokens", piece.tokens}});
  }
  return pieces;
}

Json tokens_of(const WhyReport& report) {
  Json tokens = Json::array();
  for (const GeneratedToken& token : report.trace.tokens) {
    Json entry = {
        {"id", token.id}, {"probability", std::exp(token.logprob)}, {"margin", token.margin}};
    if (report.tokenizer != nullptr) entry["text"] = report.tokenizer->bytes(token.id);
    tokens.push_back(std::move(entry));
  }
  return tokens;
}

// Sums of what files say must not overflow.
bool is_count(std::int64_t value) {
  return value >= 0 && value < (std::int64_t{1} << 53);
}

bool read_counts(const Json& json, LanguageCounts& value, const JsonPath& path) {
  return bool(ObjectReader(json, path)
                  .optional("shown", value.shown)
                  .optional("accepted", value.accepted)
                  .optional("characters", value.characters));
}

}  // namespace

void to_json(Json& json, const StatusReport& value) {
  json = {{"state", state_name(value.engine)},
          {"completions",
           {{"enabled", value.enabled},
            {"inComments", value.in_comments},
            {"disabledLanguages", value.disabled_languages},
            {"disabledDocuments", value.disabled_documents}}}};
  if (value.engine.state == engine::EngineState::starting) json["percent"] = value.engine.percent;
  if (!value.engine.reason.empty()) json["reason"] = value.engine.reason;
  if (value.model) {
    json["model"] = value.model->name;
    json["device"] = value.model->device;
    json["format"] = value.model->weight_format;
    json["local"] = value.model->local;
    json["contextTokens"] = value.model->context_tokens;
  }
  if (value.chat_model) json["chatModel"] = value.chat_model->name;
}

bool read(const Json& json, SwitchScope& value, const JsonPath& path) {
  if (json == "global") {
    value = SwitchScope::global;
  } else if (json == "language") {
    value = SwitchScope::language;
  } else if (json == "document") {
    value = SwitchScope::document;
  } else if (json == "comments") {
    value = SwitchScope::comments;
  } else {
    return path.expected("one of global, language, document, comments");
  }
  return true;
}

bool read(const Json& json, SetEnabledParams& value, const JsonPath& path) {
  ObjectReader reader(json, path);
  reader.required("scope", value.scope).required("enabled", value.enabled);
  if (value.scope == SwitchScope::language) reader.required("languageId", value.subject);
  if (value.scope == SwitchScope::document) reader.required("uri", value.subject);
  return bool(reader);
}

void to_json(Json& json, const StatisticsSnapshot& value) {
  json = Json::object();
  for (const StatisticsCounter& counter : statistics_counters()) {
    json[counter.name] = value.*counter.member;
  }
  json["latencyModelMs"] = to_json_value(value.latency_model);
  json["latencyCacheMs"] = to_json_value(value.latency_cache);
  json["languages"] = Json::object();
  for (const auto& [language, counts] : value.languages) {
    json["languages"][language] = {
        {"shown", counts.shown}, {"accepted", counts.accepted}, {"characters", counts.characters}};
  }
}

bool read(const Json& json, StatisticsSnapshot& value, const JsonPath& path) {
  ObjectReader reader(json, path);
  for (const StatisticsCounter& counter : statistics_counters()) {
    std::int64_t& count = value.*counter.member;
    reader.optional(counter.name, count);
    if (!is_count(count)) return path.field(counter.name).expected("a count");
  }
  Json languages = Json::object();
  if (!reader.optional("languages", languages)) return false;
  if (!languages.is_object()) return path.field("languages").expected("an object");
  for (const auto& [language, counts] : languages.items()) {
    LanguageCounts& own = value.languages[language];
    if (!read_counts(counts, own, path.field("languages"))) return false;
    if (!is_count(own.shown) || !is_count(own.accepted) || !is_count(own.characters)) {
      return path.field("languages").expected("counts");
    }
  }
  return true;
}

void to_json(Json& json, const StatisticsRecord& value) {
  json = value.summary();
  json["recentModelMs"] = value.latencies_model;
  json["recentCacheMs"] = value.latencies_cache;
}

bool read(const Json& json, StatisticsRecord& value, const JsonPath& path) {
  return read(json, value.counters, path) &&
         bool(ObjectReader(json, path)
                  .optional("recentModelMs", value.latencies_model)
                  .optional("recentCacheMs", value.latencies_cache));
}

void to_json(Json& json, const StatisticsReport& value) {
  json = {{"completions", value.completions}, {"engine", to_json_value(value.engine)}};
}

void to_json(Json& json, const WhyReport& value) {
  const CompletionTrace& trace = value.trace;
  const engine::Usage& usage = trace.usage;
  json = {{"uri", trace.document->uri},
          {"version", trace.document->version},
          {"position", trace.document->text.position_at(trace.offset, value.encoding)},
          {"source", source_name(trace.source)},
          {"pieces", pieces_of(trace)},
          {"forcedPrefix", trace.forced_prefix},
          {"text", trace.text},
          {"stopReason", trace.stop_reason},
          {"tokens", tokens_of(value)},
          {"usage",
           {{"promptTokens", usage.prompt_tokens},
            {"cachedTokens", usage.cached_tokens},
            {"computedTokens", usage.computed_tokens},
            {"generatedTokens", usage.generated_tokens}}},
          {"milliseconds",
           {{"context", to_milliseconds(trace.context)},
            {"queued", to_milliseconds(usage.queued)},
            {"prefill", to_milliseconds(usage.prefill)},
            {"decode", to_milliseconds(usage.decode)},
            {"total", to_milliseconds(trace.total)}}}};
}

}  // namespace caretd::lsp
