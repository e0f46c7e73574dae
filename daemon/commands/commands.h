// One function a subcommand; each is defined in the file of its name beside this one.
#pragma once

#include "daemon/command_line.h"
#include "daemon/relay/daemon_launcher.h"

namespace caretd::daemon {

void add_bench_command(CommandLine& line);
void add_chat_command(CommandLine& line);
void add_checkpoint_command(CommandLine& line);
void add_complete_command(CommandLine& line);
void add_config_command(CommandLine& line);
void add_completions_command(CommandLine& line);
void add_eval_command(CommandLine& line);
void add_lsp_command(CommandLine& line);
void add_daemon_command(CommandLine& line);
void add_doctor_command(CommandLine& line);
void add_man_command(CommandLine& line);
void add_models_command(CommandLine& line);
void add_serve_command(CommandLine& line);
void add_stats_command(CommandLine& line);
void add_replay_command(CommandLine& line);
void add_verify_command(CommandLine& line);
void add_why_command(CommandLine& line);

/// Who starts a daemon. A person's options and environment are meant for all sessions to come;
/// those of a relay for its own session alone, which is told of them in its hello.
enum class Starter : std::uint8_t { person, relay };

/// How a daemon is started by this command.
[[nodiscard]] LaunchOptions launch_options(const CommandContext& context, Starter starter);

}  // namespace caretd::daemon
