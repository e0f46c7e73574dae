// `caretd checkpoint`: a checkpoint of a published shape with random weights, to test loading,
// memory and speed without the real files.
#include <iostream>
#include <memory>

#include <nlohmann/json.hpp>
#include <spdlog/fmt/fmt.h>

#include "daemon/commands/commands.h"
#include "daemon/progress.h"
#include "daemon/quantities.h"
#include "engine/checkpoint/checkpoint_writer.h"
#include "engine/checkpoint/shapes.h"

namespace caretd::daemon {

namespace {

struct CheckpointOptions {
  std::string shape;
  std::string out;
  std::string format = "bf16";
  std::string tokenizer;
  std::uint64_t seed = 0;
  int layers = 0;
};

std::string shape_list() {
  std::string text = "Shape of the model:";
  for (const auto& shape : engine::named_shapes()) {
    text += fmt::format("\n  {}: {}", shape.name, shape.summary);
  }
  return text;
}

Result<void> copy_tokenizer(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::error_code error;
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}) {
    if (!std::filesystem::exists(from / name)) continue;
    std::filesystem::copy_file(from / name, to / name, error);
    if (error) return fail(ErrorKind::io, (to / name).string() + ": " + error.message());
  }
  return {};
}

int write(const CheckpointOptions& options) {
  const auto format = engine::weight_format_by_name(options.format);
  if (!format) {
    report_error({ErrorKind::invalid_input, "--format is bf16, f32, fp8 or fp8-tensor"});
    return kUsage;
  }
  const auto config = engine::shape_by_name(options.shape, options.layers);
  if (!config) return report_error(config.error());
  const SteadyClock clock;
  ProgressReporter progress("writing " + options.out, clock, stderr_is_terminal());
  engine::CheckpointWriteOptions write_options;
  write_options.seed = options.seed;
  write_options.format = *format;
  write_options.progress = [&](double fraction) { progress.update(fraction); };
  auto written = engine::write_checkpoint(options.out, *config, write_options);
  if (written && !options.tokenizer.empty()) {
    written = copy_tokenizer(options.tokenizer, options.out);
  }
  if (!written) return report_error(written.error());
  std::cout << fmt::format("{}: {} parameters, {}\n", options.out,
                           parameter_count(config->parameters()), options.format);
  return kSuccess;
}

}  // namespace

void add_checkpoint_command(CommandLine& line) {
  auto options = std::make_shared<CheckpointOptions>();
  CLI::App& command =
      line.add("checkpoint", "Write a checkpoint of random weights",
               "caretd checkpoint --shape lite --out /tmp/lite\n"
               "caretd checkpoint --shape lite --format fp8 --layers 4 --seed 7 --out /tmp/short",
               [options](CommandContext&) { return write(*options); });
  command.add_option("--shape", options->shape, shape_list())->required();
  command.add_option("--out", options->out, "Folder to create")->required();
  command.add_option("--format", options->format, "bf16, f32, fp8 (block-wise) or fp8-tensor")
      ->capture_default_str();
  command.add_option("--seed", options->seed, "The same seed gives the same weights")
      ->capture_default_str();
  command.add_option("--layers", options->layers, "Fewer layers than the shape has; 0: all")
      ->capture_default_str();
  command.add_option("--tokenizer", options->tokenizer, "Folder whose tokenizer is copied along")
      ->check(CLI::ExistingDirectory);
}

}  // namespace caretd::daemon
