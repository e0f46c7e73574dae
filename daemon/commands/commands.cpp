#include "daemon/commands/commands.h"

namespace caretd::daemon {

void add_all_commands(CommandLine& line) {
  add_bench_command(line);
  add_chat_command(line);
  add_checkpoint_command(line);
  add_complete_command(line);
  add_config_command(line);
  add_eval_command(line);
  add_daemon_command(line);
  add_doctor_command(line);
  add_models_command(line);
  add_replay_command(line);
  add_serve_command(line);
  add_verify_command(line);
  add_why_command(line);
  add_stats_command(line);
  add_completions_command(line);
  add_lsp_command(line);
  add_man_command(line);
}

}  // namespace caretd::daemon
