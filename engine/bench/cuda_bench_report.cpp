#include "engine/bench/cuda_bench_report.h"

#include <cstdarg>
#include <cstdio>

#include <nlohmann/json.hpp>

namespace caretd::engine {
namespace {

[[gnu::format(printf, 1, 2)]] std::string line(const char* format, ...) {
  char text[256];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  return text;
}

double bytes_per_second(const CudaFigure& figure) {
  return static_cast<double>(figure.bytes) / figure.seconds;
}

}  // namespace

std::string cuda_bench_table(const CudaBenchReport& report, const RunnerInfo& info) {
  std::string text = line("%s, %s, %.2f GB of weights, %.0f B of KV a token\n", info.device.c_str(),
                          info.weight_format.c_str(), static_cast<double>(info.weight_bytes) / 1e9,
                          report.kv_bytes_per_token);
  text += line("read-only stream %.0f GB/s\n", report.read_bandwidth / 1e9);
  text +=
      "what     context tokens       ms  device ms  host us    tok/s  experts      GB   GB/s  "
      "share\n";
  for (const CudaFigure& figure : report.figures) {
    text += line("%-8s %7d %6d %8.3f  %9.3f %8.1f %8.0f  %7.1f %7.3f %6.0f %5.1f%%\n",
                 figure.name.c_str(), figure.context, figure.tokens, figure.seconds * 1e3,
                 figure.device_seconds * 1e3, figure.host_seconds * 1e6,
                 figure.tokens / figure.seconds, figure.distinct_experts,
                 static_cast<double>(figure.bytes) / 1e9, bytes_per_second(figure) / 1e9,
                 bytes_per_second(figure) / report.read_bandwidth * 100);
  }
  if (report.profile.empty()) return text;
  double sum = 0;
  for (const CudaOperationTime& operation : report.profile) {
    text += line("  %-36s %3d x %7.2f us = %7.1f us\n", operation.name.c_str(), operation.count,
                 operation.seconds / operation.count * 1e6, operation.seconds * 1e6);
    sum += operation.seconds;
  }
  text += line("  %-36s %26.1f us of a step of %.1f us\n", "sum", sum * 1e6,
               report.profiled_seconds * 1e6);
  return text;
}

std::string cuda_bench_json(const CudaBenchReport& report, const RunnerInfo& info) {
  nlohmann::json value{{"device", info.device},
                       {"weightFormat", info.weight_format},
                       {"weightBytes", info.weight_bytes},
                       {"kvBytesPerToken", report.kv_bytes_per_token},
                       {"readBytesPerSecond", report.read_bandwidth},
                       {"figures", nlohmann::json::array()},
                       {"profile", nlohmann::json::array()}};
  for (const CudaFigure& figure : report.figures) {
    value["figures"].push_back(
        {{"name", figure.name},
         {"context", figure.context},
         {"tokens", figure.tokens},
         {"seconds", figure.seconds},
         {"deviceSeconds", figure.device_seconds},
         {"hostSeconds", figure.host_seconds},
         {"bytes", figure.bytes},
         {"distinctExperts", figure.distinct_experts},
         {"tokensPerSecond", figure.tokens / figure.seconds},
         {"bytesPerSecond", bytes_per_second(figure)},
         {"shareOfStream", bytes_per_second(figure) / report.read_bandwidth}});
  }
  for (const CudaOperationTime& operation : report.profile) {
    value["profile"].push_back(
        {{"name", operation.name}, {"seconds", operation.seconds}, {"count", operation.count}});
  }
  return value.dump(2);
}

}  // namespace caretd::engine
