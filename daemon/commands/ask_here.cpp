#include <csignal>
#include <memory>
#include <optional>
#include <utility>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>

#include "daemon/commands/ask.h"
#include "daemon/engines/loaded_engine.h"
#include "daemon/session_settings.h"

namespace caretd::daemon {

namespace {

namespace asio = boost::asio;

Result<lsp::ChatAnswer> ask_engine(std::shared_ptr<engine::Engine> engine,
                                   const lsp::ChatQuestion& question,
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
  std::optional<Result<lsp::ChatAnswer>> answer;
  ThreadPool workers(1);  // joined before what its tasks use is gone
  const auto strand = std::make_shared<Strand>(workers);
  const auto model = std::make_shared<lsp::ChatModel>(std::move(engine), strand, workers);
  const auto conversations = std::make_shared<lsp::Conversations>(model, 1);
  conversations->set_settings(settings);
  listener.ended = [&](Result<lsp::ChatAnswer> ended) {
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

}  // namespace

Result<lsp::ChatAnswer> ask_here(const CommandContext& context, const lsp::ChatQuestion& question,
                                 const lsp::ChatListener& listener) {
  const Settings settings = context.settings();
  const SteadyClock clock;
  auto engine = load_engine(context, chat_engine_settings(settings), clock);
  if (!engine) return pass_on(std::move(engine));
  return ask_engine(*std::move(engine), question, to_chat_settings(settings), listener);
}

}  // namespace caretd::daemon
