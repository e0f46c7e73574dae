// `caretd chat`: one question, the reply streamed to stdout.
#include <csignal>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <nlohmann/json.hpp>
#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include "daemon/commands/commands.h"
#include "daemon/file_completion.h"
#include "daemon/loaded_engine.h"
#include "daemon/session_settings.h"
#include "lsp/context/secrets.h"
#include "lsp/features/chat/conversation.h"
#include "lsp/protocol/chat_types.h"

namespace caretd::daemon {

namespace {

namespace asio = boost::asio;

using Answer = Result<lsp::ChatAnswer>;

struct ChatOptions {
  std::vector<std::string> words;
  std::vector<std::string> files;
  std::string system;
  bool json = false;
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

/// Streams the reply until its end. SIGINT cancels it, a second one ends the process.
Answer ask(std::shared_ptr<engine::Engine> engine, const lsp::ChatQuestion& question,
           const lsp::ChatSettings& settings, lsp::ChatListener listener) {
  asio::io_context io;
  const auto work = asio::make_work_guard(io);
  asio::signal_set signals(io, SIGINT);
  std::stop_source cancel;
  signals.async_wait([&](const boost::system::error_code& failure, int) {
    if (failure) return;
    signals.clear();
    cancel.request_stop();
  });
  std::optional<Answer> answer;
  ThreadPool workers(1);  // joined before what its tasks use is gone
  const auto strand = std::make_shared<Strand>(workers);
  const auto model = std::make_shared<lsp::ChatModel>(std::move(engine), strand, workers);
  const auto conversations = std::make_shared<lsp::Conversations>(model, 1);
  conversations->set_settings(settings);
  listener.ended = [&](Answer ended) {
    asio::post(io, [&, ended = std::move(ended)] {
      answer = ended;
      io.stop();
    });
  };
  strand->post([conversations, question, stop = cancel.get_token(), listener] {
    conversations->ask(question, stop, listener);
  });
  io.run();
  return *std::move(answer);
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
  const Settings settings = context.settings();
  const SteadyClock clock;
  auto engine = load_engine(context, chat_engine_settings(settings), clock);
  if (!engine) return report_error(engine.error());
  const auto answer =
      ask(*std::move(engine), question, to_chat_settings(settings), printer(options.json));
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
  CLI::App& command =
      line.add("chat", "Ask the chat model a question",
               "caretd chat What does std::launder do\n"
               "caretd chat --file src/parser.cpp Where is the recursion bounded\n"
               "git diff | caretd chat --system 'You review patches.'\n"
               "caretd chat --json Say hello | jq -r .content",
               [options](CommandContext& context) { return chat(context, *options); });
  command.add_option("question", options->words, "The question; without one it is read from stdin");
  command.add_option("--file,-f", options->files, "Put a file into the prompt; may be repeated")
      ->allow_extra_args(false);
  command.add_option("--system", options->system, "A system message");
  command.add_flag("--json", options->json,
                   "Print a JSON object a line: the prompt, each piece of the reply, the whole");
}

}  // namespace caretd::daemon
