// `caretd chat`: one question, the reply streamed to stdout.
#include <algorithm>
#include <iostream>
#include <iterator>
#include <memory>

#include <nlohmann/json.hpp>
#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include "daemon/commands/ask.h"
#include "daemon/commands/commands.h"
#include "daemon/commands/session_hello.h"
#include "daemon/file_completion.h"
#include "lsp/context/secrets.h"
#include "lsp/protocol/chat_types.h"

namespace caretd::daemon {

namespace {

struct ChatOptions {
  std::vector<std::string> words;
  std::vector<std::string> files;
  std::string system;
  bool json = false;
  bool standalone = false;
};

/// What was asked: the words of the command line, else all of stdin.
std::string read_question(const ChatOptions& options) {
  if (!options.words.empty()) return fmt::format("{}", fmt::join(options.words, " "));
  if (isatty(STDIN_FILENO) == 1) std::cerr << "Type a question and end it with Ctrl-D.\n";
  return {std::istreambuf_iterator<char>(std::cin), {}};
}

/// Reads the files; those that hold secrets by their name are left out and named.
Result<void> add_files(const ChatOptions& options, lsp::ChatQuestion& question) {
  for (const std::string& name : options.files) {
    const auto document = read_document(name);
    if (!document) return tl::unexpected(document.error());
    const std::string& uri = (*document)->uri;
    if (lsp::is_secret_file(name)) {
      question.refused.push_back({lsp::ContextKind::file, uri, 0, 0, "ignored"});
      continue;
    }
    question.context.push_back({lsp::ContextKind::file, uri, name, (*document)->language_id, 0,
                                std::string((*document)->text.view())});
  }
  return {};
}

std::string what_is_missing(const lsp::ContextReport& report) {
  if (report.left_out == "ignored") return "left out: its name says that it holds secrets";
  if (report.left_out == "noRoom") return "left out: there is no room for it in the prompt";
  return fmt::format("cut: {} of {} tokens are in the prompt", report.tokens, report.total_tokens);
}

/// What the user should know before the reply: on stderr, as sentences.
void print_opening(const lsp::ChatOpening& opening) {
  for (const lsp::ContextReport& report : opening.context) {
    if (report.left_out.empty()) continue;
    std::cerr << fmt::format("caretd: {} ({})\n", report.uri, what_is_missing(report));
  }
  if (!opening.notice.empty()) std::cerr << "caretd: " << opening.notice << '\n';
}

void print_line(const nlohmann::json& value) {
  std::cout << value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << std::endl;
}

lsp::ChatListener printer(bool json) {
  lsp::ChatListener listener;
  listener.begun = [json](const lsp::ChatOpening& opening) {
    if (json) return print_line(opening);
    print_opening(opening);
  };
  listener.text = [json](const std::string& text) {
    if (json) return print_line({{"content", text}});
    std::cout << text << std::flush;
  };
  return listener;
}

/// Whether the command line itself says which model answers. Another one than the daemon's would
/// have to be loaded in any case, and the daemon keeps what it was told to keep.
bool names_model(const CommandContext& context) {
  const auto concerns_model = [](std::string_view word) {
    return word.starts_with("model.") || word.starts_with("remote.") ||
           word.starts_with("chat.model=");
  };
  return context.config_file || std::ranges::any_of(context.overrides, concerns_model);
}

/// The user's daemon, if one runs; it is none of this command's business to start one.
std::unique_ptr<Stream> running_daemon(const CommandContext& context) {
  const auto folder = open_runtime_folder(context.folders.runtime);
  if (!folder) return nullptr;
  auto daemon = greet_daemon(*folder, session_hello(context));
  if (daemon) return *std::move(daemon);
  if (daemon.error().kind != ErrorKind::not_found) {
    context.log->warn("loading the model here: {}", daemon.error().message);
  }
  return nullptr;
}

Result<lsp::ChatAnswer> ask(const CommandContext& context, const ChatOptions& options,
                            const lsp::ChatQuestion& question) {
  const lsp::ChatListener listener = printer(options.json);
  const bool here = options.standalone || names_model(context);
  if (auto daemon = here ? nullptr : running_daemon(context)) {
    return ask_daemon(std::move(daemon), question, listener);
  }
  return ask_here(context, question, listener);
}

int chat(const CommandContext& context, const ChatOptions& options) {
  lsp::ChatQuestion question;
  question.message = read_question(options);
  question.system = options.system;
  if (question.message.find_first_not_of(" \t\r\n") == std::string::npos) {
    report_error({ErrorKind::invalid_input, "there is no question; caretd chat --help shows how"});
    return kUsage;
  }
  if (const auto added = add_files(options, question); !added) return report_error(added.error());
  const auto answer = ask(context, options, question);
  if (!answer) return report_error(answer.error());
  if (options.json) {
    print_line(*answer);
  } else {
    std::cout << '\n';
  }
  return answer->reply.reason == engine::FinishReason::cancelled ? kFailure : kSuccess;
}

}  // namespace

void add_chat_command(CommandLine& line) {
  auto options = std::make_shared<ChatOptions>();
  CLI::App& command = line.add(
      "chat", "Ask the chat model a question: the daemon's if one runs, else one of its own",
      "caretd chat What does std::launder do\n"
      "caretd chat --file src/parser.cpp Where is the recursion bounded\n"
      "git diff | caretd chat --system 'You review patches.'\n"
      "caretd chat --json Say hello | jq -r .content",
      [options](CommandContext& context) { return chat(context, *options); });
  command.add_option("question", options->words, "The question; without one it is read from stdin");
  command.add_option("--file,-f", options->files, "Put a file into the prompt; may be repeated")
      ->allow_extra_args(false);
  command.add_option("--system", options->system, "A system message");
  command.add_flag("--standalone", options->standalone,
                   "Load the model in this process even if the user's daemon runs");
  command.add_flag("--json", options->json,
                   "Print a JSON object a line: the prompt, each piece of the reply, the whole");
}

}  // namespace caretd::daemon
