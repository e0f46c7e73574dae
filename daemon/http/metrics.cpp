#include "daemon/http/metrics.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <string_view>

#include <spdlog/fmt/fmt.h>

namespace caretd::daemon::api {

namespace {

double seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

class Page {
 public:
  void head(std::string_view name, std::string_view type, std::string_view help) {
    fmt::format_to(std::back_inserter(text_), "# HELP {0} {2}\n# TYPE {0} {1}\n", name, type, help);
  }
  template <typename Number>
  void value(std::string_view name, std::string_view type, std::string_view help, Number value) {
    head(name, type, help);
    fmt::format_to(std::back_inserter(text_), "{} {}\n", name, value);
  }
  void histogram(std::string_view name, std::string_view help, const Histogram& histogram) {
    head(name, "histogram", help);
    auto out = std::back_inserter(text_);
    std::uint64_t count = 0;
    for (std::size_t i = 0; i < kLatencyBuckets.size(); ++i) {
      count += histogram.counts[i];
      fmt::format_to(out, "{}_bucket{{le=\"{}\"}} {}\n", name, kLatencyBuckets[i], count);
    }
    count += histogram.counts.back();
    fmt::format_to(out, "{0}_bucket{{le=\"+Inf\"}} {1}\n{0}_sum {2}\n{0}_count {1}\n", name, count,
                   histogram.sum);
  }
  [[nodiscard]] std::string& text() { return text_; }

 private:
  std::string text_;
};

void engine_figures(Page& page, const engine::EngineStatistics& engine) {
  page.value("caretd_engine_requests_total", "counter", "Requests of editors and HTTP clients.",
             engine.requests);
  page.value("caretd_engine_prompt_tokens_total", "counter", "Prompt tokens of finished requests.",
             engine.prompt_tokens);
  page.value("caretd_engine_cached_tokens_total", "counter",
             "Prompt tokens that were found in the KV cache.", engine.cached_tokens);
  page.value("caretd_engine_generated_tokens_total", "counter", "Generated tokens.",
             engine.generated_tokens);
  page.value("caretd_engine_steps_total", "counter", "Forward passes.", engine.steps);
  page.value("caretd_engine_longest_step_seconds", "gauge", "The longest step since the start.",
             seconds(engine.longest_step));
  page.value("caretd_engine_running", "gauge", "Sequences in the batch.", engine.running);
  page.value("caretd_engine_queued", "gauge", "Requests that wait for a place.", engine.queued);
  page.value("caretd_engine_kv_used_bytes", "gauge", "KV cache in use.", engine.kv_used_bytes);
}

}  // namespace

void Histogram::add(Duration value) {
  const double taken = seconds(value);
  const auto bucket = std::ranges::lower_bound(kLatencyBuckets, taken);
  ++counts[static_cast<std::size_t>(bucket - kLatencyBuckets.begin())];
  sum += taken;
}

void Metrics::responded(const std::string& endpoint, int status) {
  const std::lock_guard lock(mutex_);
  ++responses_[{endpoint, status}];
}

void Metrics::first_token(Duration since_request) {
  const std::lock_guard lock(mutex_);
  first_token_.add(since_request);
}

void Metrics::finished(Duration since_request) {
  const std::lock_guard lock(mutex_);
  whole_.add(since_request);
}

void Metrics::count_tokens(const engine::Usage& usage) {
  const std::lock_guard lock(mutex_);
  prompt_tokens_ += static_cast<std::uint64_t>(usage.prompt_tokens);
  cached_tokens_ += static_cast<std::uint64_t>(usage.cached_tokens);
  generated_tokens_ += static_cast<std::uint64_t>(usage.generated_tokens);
}

std::string Metrics::render(const engine::EngineStatistics& engine, bool ready,
                            std::int64_t connections) const {
  Page page;
  const std::lock_guard lock(mutex_);
  page.head("caretd_http_responses_total", "counter", "Replies by endpoint and status.");
  for (const auto& [key, count] : responses_) {
    fmt::format_to(std::back_inserter(page.text()),
                   "caretd_http_responses_total{{endpoint=\"{}\",status=\"{}\"}} {}\n", key.first,
                   key.second, count);
  }
  page.value("caretd_http_connections", "gauge", "Open connections.", connections);
  page.histogram("caretd_http_time_to_first_token_seconds",
                 "From a request's arrival to its first token.", first_token_);
  page.histogram("caretd_http_generation_seconds", "From a request's arrival to its end.", whole_);
  page.value("caretd_http_prompt_tokens_total", "counter", "Prompt tokens of HTTP requests.",
             prompt_tokens_);
  page.value("caretd_http_cached_tokens_total", "counter",
             "Prompt tokens of HTTP requests found in the KV cache.", cached_tokens_);
  page.value("caretd_http_generated_tokens_total", "counter", "Tokens generated for HTTP requests.",
             generated_tokens_);
  page.value("caretd_engine_ready", "gauge", "1 while the model is loaded.", ready ? 1 : 0);
  engine_figures(page, engine);
  return std::move(page.text());
}

}  // namespace caretd::daemon::api
