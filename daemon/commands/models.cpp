// `caretd models`: what is there, what is in it, whether it is sound, and how to make it smaller.
#include <algorithm>
#include <iostream>
#include <memory>
#include <set>

#include <nlohmann/json.hpp>
#include <spdlog/fmt/fmt.h>

#include "daemon/commands/commands.h"
#include "daemon/engines/model_loading.h"
#include "daemon/progress.h"
#include "daemon/quantities.h"
#include "engine/checkpoint/check_model.h"
#include "engine/checkpoint/inspect.h"
#include "engine/checkpoint/quantize_model.h"
#include "engine/text/tokenizer.h"

namespace caretd::daemon {

namespace {

namespace fs = std::filesystem;

struct ModelOptions {
  std::string folder;
  std::string target;
  std::string sums;
  bool json = false;
};

/// The folders below `root` that look like models.
void find_models(const fs::path& root, std::set<fs::path>& found) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root, error)) {
    if (fs::exists(entry.path() / "config.json", error)) found.insert(entry.path());
  }
}

void print_list_json(const std::set<fs::path>& folders, const fs::path& configured) {
  nlohmann::json value = nlohmann::json::array();
  for (const fs::path& folder : folders) {
    const auto summary = engine::summarize_model(folder);
    nlohmann::json entry{{"folder", folder.string()}, {"configured", folder == configured}};
    if (summary) {
      entry["parameters"] = summary->parameters;
      entry["weightFormat"] = summary->weight_format;
      entry["tensorBytes"] = summary->tensor_bytes;
    } else {
      entry["problem"] = summary.error().message;
    }
    value.push_back(std::move(entry));
  }
  std::cout << value.dump(2) << '\n';
}

int list(const CommandContext& context, bool json) {
  std::set<fs::path> folders;
  find_models(context.install.models(), folders);
  find_models(context.folders.data / "models", folders);
  const auto configured = model_folder(context.settings().model, context.install);
  folders.insert(configured);
  if (json) {
    print_list_json(folders, configured);
    return kSuccess;
  }
  for (const fs::path& folder : folders) {
    const auto summary = engine::summarize_model(folder);
    const char mark = folder == configured ? '*' : ' ';
    if (summary) {
      std::cout << fmt::format("{} {}: {} parameters, {}, {}\n", mark, folder.string(),
                               parameter_count(summary->parameters), summary->weight_format,
                               disk_size(summary->tensor_bytes));
    } else {
      std::cout << fmt::format("{} {}: {}\n", mark, folder.string(), summary.error().message);
    }
  }
  std::cout << "\n* is what the configuration means. Models go into "
            << (context.folders.data / "models").string() << " or anywhere else (--model).\n";
  return kSuccess;
}

std::string fim_tokens(const fs::path& folder, const engine::ModelConfig& config) {
  const auto tokenizer = engine::Tokenizer::load(folder);
  if (!tokenizer) return "unknown: " + tokenizer.error().message;
  std::string text;
  for (const auto token : {engine::ControlToken::fim_begin, engine::ControlToken::fim_hole,
                           engine::ControlToken::fim_end}) {
    const auto id = (*tokenizer)->control(token);
    if (!id) return "none; completions ignore what is behind the cursor";
    text +=
        fmt::format("{}{} ({})", text.empty() ? "" : ", ", (*tokenizer)->control_text(token), *id);
  }
  if (config.trained_without_fim())
    text += "; not used, as models of this kind were trained without";
  return text;
}

void print_summary(const engine::ModelSummary& summary) {
  const auto& config = summary.config;
  std::cout << fmt::format(
      "folder         {}\n"
      "architecture   DeepSeek-V2: {} layers, hidden {}, {} heads, latent {} + {}\n"
      "experts        {} routed (top {}), {} shared, first {} layers dense\n"
      "context        {} tokens, {:.1f} KB of KV cache a token\n"
      "vocabulary     {}\n"
      "parameters     {}, {} active\n"
      "weights        {}, {}\n"
      "FIM tokens     {}\n",
      summary.folder.string(), config.layers, config.hidden, config.heads, config.kv_lora_rank,
      config.qk_rope_head_dim, config.routed_experts, config.experts_per_token,
      config.shared_experts, config.dense_layers, config.context_tokens,
      static_cast<double>(summary.kv_bytes_per_token) / 1e3, config.vocab_size,
      parameter_count(summary.parameters), parameter_count(summary.active_parameters),
      summary.weight_format, disk_size(summary.tensor_bytes), fim_tokens(summary.folder, config));
  for (const auto& share : summary.dtypes) {
    std::cout << fmt::format("  {:<10} {:>6} tensors {:>12}\n", share.dtype, share.tensors,
                             disk_size(share.bytes));
  }
  for (const auto& file : summary.files) {
    std::cout << fmt::format("  {:<40} {:>6} tensors {:>12}\n", file.name, file.tensors,
                             disk_size(file.bytes));
  }
}

void print_summary_json(const engine::ModelSummary& summary) {
  const nlohmann::json value{{"folder", summary.folder.string()},
                             {"layers", summary.config.layers},
                             {"hidden", summary.config.hidden},
                             {"contextTokens", summary.config.context_tokens},
                             {"vocabulary", summary.config.vocab_size},
                             {"parameters", summary.parameters},
                             {"activeParameters", summary.active_parameters},
                             {"weightFormat", summary.weight_format},
                             {"tensorBytes", summary.tensor_bytes},
                             {"kvBytesPerToken", summary.kv_bytes_per_token}};
  std::cout << value.dump(2) << '\n';
}

fs::path chosen_folder(const CommandContext& context, const ModelOptions& options) {
  return options.folder.empty() ? model_folder(context.settings().model, context.install)
                                : fs::path(options.folder);
}

int inspect(const CommandContext& context, const ModelOptions& options) {
  const auto summary = engine::summarize_model(chosen_folder(context, options));
  if (!summary) return report_error(summary.error());
  options.json ? print_summary_json(*summary) : print_summary(*summary);
  return kSuccess;
}

int check(const CommandContext& context, const ModelOptions& options) {
  const SteadyClock clock;
  const auto folder = chosen_folder(context, options);
  const auto report = [&] {
    ProgressReporter progress("checking " + folder.string(), clock, stderr_is_terminal());
    engine::CheckOptions check_options;
    check_options.sums = options.sums;
    check_options.progress = [&](double fraction) { progress.update(fraction); };
    return engine::check_model(folder, check_options);
  }();
  if (!report) return report_error(report.error());
  for (const auto& finding : report->findings) {
    std::cout << fmt::format("{}{}{}{}{}\n", finding.file, finding.tensor.empty() ? "" : ", ",
                             finding.tensor, finding.file.empty() ? "" : ": ", finding.problem);
  }
  std::cout << fmt::format(
      "{} tensors, {} values, {} sums compared: {}\n", report->tensors,
      parameter_count(report->values), report->sums_compared,
      report->sound() ? "sound" : fmt::format("findings: {}", report->findings.size()));
  return report->sound() ? kSuccess : kFailure;
}

int quantize(const ModelOptions& options) {
  const SteadyClock clock;
  const auto report = [&] {
    ProgressReporter progress("quantizing", clock, stderr_is_terminal());
    engine::QuantizeOptions quantize_options;
    quantize_options.progress = [&](double fraction) { progress.update(fraction); };
    return engine::quantize_model(options.folder, options.target, quantize_options);
  }();
  if (!report) return report_error(report.error());
  double worst = 0;
  for (const auto& error : report->errors) {
    std::cout << fmt::format("{:<70} relative error {:.4f}, largest {:.4f}\n", error.tensor,
                             error.relative, error.largest);
    worst = std::max(worst, error.relative);
  }
  std::cout << fmt::format("{} -> {}, worst relative error of a matrix {:.4f}\n",
                           disk_size(report->bytes_before), disk_size(report->bytes_after), worst);
  return kSuccess;
}

}  // namespace

void add_models_command(CommandLine& line) {
  CLI::App& group = line.add_group("models", "List, inspect, check and quantize models",
                                   "caretd models list\ncaretd models inspect --help");
  auto options = std::make_shared<ModelOptions>();
  CLI::App& listed =
      line.add(group, "list", "Print the models that are installed",
               "caretd models list\ncaretd models list --json",
               [options](CommandContext& context) { return list(context, options->json); });
  listed.add_flag("--json", options->json, "Print it as JSON");

  CLI::App& inspected = line.add(
      group, "inspect", "Print architecture, parameters, types and sizes of a model",
      "caretd models inspect\ncaretd models inspect --json /srv/models/DeepSeek-Coder-V2-Lite-Base",
      [options](CommandContext& context) { return inspect(context, *options); });
  inspected.add_option("folder", options->folder, "Model folder; the configured one if left out");
  inspected.add_flag("--json", options->json, "Print it as JSON");

  CLI::App& checked =
      line.add(group, "check", "Read every byte of a model and report what is wrong",
               "caretd models check /srv/models/DeepSeek-Coder-V2-Lite-Base\n"
               "caretd models check --sums SHA256SUMS /srv/models/DeepSeek-Coder-V2-Lite-Base",
               [options](CommandContext& context) { return check(context, *options); });
  checked.add_option("folder", options->folder, "Model folder; the configured one if left out");
  checked.add_option("--sums", options->sums, "File of SHA-256 sums, as sha256sum prints them")
      ->check(CLI::ExistingFile);

  CLI::App& quantized = line.add(
      group, "quantize", "Write a BF16 model as block-wise FP8, with the error of each matrix",
      "caretd models quantize /srv/models/Lite-Base /srv/models/Lite-Base-FP8",
      [options](CommandContext&) { return quantize(*options); });
  quantized.add_option("source", options->folder, "Model folder in BF16, F16 or F32")->required();
  quantized.add_option("target", options->target, "Folder to create")->required();
}

}  // namespace caretd::daemon
