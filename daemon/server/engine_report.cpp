#include "daemon/server/engine_report.h"

#include <string_view>

namespace caretd::daemon {

namespace {

std::string_view state_name(engine::EngineState state) {
  switch (state) {
    case engine::EngineState::starting:
      return "starting";
    case engine::EngineState::ready:
      return "ready";
    case engine::EngineState::off:
      return "off";
    case engine::EngineState::failed:
      return "failed";
  }
  return "unknown";
}

}  // namespace

lsp::Json describe_engine(const engine::Engine& engine) {
  const auto status = engine.status();
  const auto figures = engine.statistics();
  lsp::Json value{
      {"state", state_name(status.state)},   {"busy", status.busy},
      {"running", figures.running},          {"queued", figures.queued},
      {"requests", figures.requests},        {"generatedTokens", figures.generated_tokens},
      {"kvUsedBytes", figures.kv_used_bytes}};
  if (!status.reason.empty()) value["reason"] = status.reason;
  if (status.state == engine::EngineState::starting) value["percent"] = status.percent;
  if (const auto model = engine.model()) {
    value["model"] = model->name;
    value["device"] = model->device;
    value["weightBytes"] = model->weight_bytes;
    value["kvBudgetBytes"] = model->kv_budget_bytes;
  }
  return value;
}

}  // namespace caretd::daemon
