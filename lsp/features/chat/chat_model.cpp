#include "lsp/features/chat/chat_model.h"

#include <algorithm>
#include <cctype>
#include <mutex>
#include <utility>

namespace caretd::lsp {
namespace {

// The embedded model has 34 MB; the smallest that were taught to chat in earnest have over a GB.
constexpr std::int64_t kSmallModelBytes = std::int64_t{256} << 20;

/// Hands the engine's tokens to the strand. Pieces that arrive faster than the strand takes them
/// go together.
class ReplyStream final : public engine::TokenSink,
                          public std::enable_shared_from_this<ReplyStream> {
 public:
  /// `form` takes the template's space off the reply; nothing where that was in the prompt.
  ReplyStream(std::optional<engine::ChatForm> form, std::shared_ptr<Executor> strand,
              ReplyListener listener)
      : form_(std::move(form)), strand_(std::move(strand)), listener_(std::move(listener)) {}

  engine::Verdict on_token(const engine::TokenEvent& token) override {
    if (add(token.text)) strand_->post([self = shared_from_this()] { self->flush(); });
    return engine::Verdict::go_on;
  }

  void on_finish(const engine::Generation& generation) override {
    strand_->post([self = shared_from_this(), generation] { self->finish(generation); });
  }

 private:
  /// True if nobody is on the way to fetch what is pending.
  bool add(std::string_view text) {
    if (text.empty()) return false;
    const std::lock_guard lock(mutex_);
    pending_ += text;
    return !std::exchange(fetching_, true);
  }

  std::string take_pending() {
    const std::lock_guard lock(mutex_);
    fetching_ = false;
    return std::exchange(pending_, {});
  }

  // From here on the strand's own.

  void flush() { tell(take_pending()); }

  [[nodiscard]] std::string_view content(std::string_view text) const {
    return form_ ? engine::reply_content(*form_, text) : text;
  }

  void tell(std::string text) {
    if (text.empty()) return;
    // The space in front of a reply belongs to the template.
    if (streamed_ == 0) {
      const std::size_t space = text.size() - content(text).size();
      streamed_ += space;
      text.erase(0, space);
    }
    streamed_ += text.size();
    if (!text.empty() && listener_.text) listener_.text(text);
  }

  void finish(const engine::Generation& generation) {
    flush();
    if (generation.error) return listener_.ended(tl::unexpected(*generation.error));
    // What was held back, because it could have become a character, comes with the end.
    if (generation.text.size() > streamed_) tell(generation.text.substr(streamed_));
    listener_.ended(GeneratedReply{std::string(content(generation.text)), generation.reason,
                                   generation.tokens, generation.usage});
  }

  const std::optional<engine::ChatForm> form_;
  const std::shared_ptr<Executor> strand_;
  const ReplyListener listener_;
  std::size_t streamed_ = 0;  ///< bytes of the generated text that were told
  std::mutex mutex_;          // below
  std::string pending_;
  bool fetching_ = false;
};

/// Writes the beginning of the reply, behind the space that the template puts before one (what
/// reply_content takes off). It joins the text before it, so that they are encoded together.
void begin_for_model(const engine::ChatForm& form, const std::string& beginning,
                     engine::Prompt& prompt) {
  const std::string text = (engine::reply_content(form, " ").empty() ? " " : "") + beginning;
  if (auto* const last = prompt.empty() ? nullptr : std::get_if<std::string>(&prompt.back())) {
    *last += text;
  } else {
    prompt.emplace_back(text);
  }
}

/// What a worker needs to begin a reply.
struct Launch {
  std::shared_ptr<engine::Engine> engine;
  std::shared_ptr<const engine::Tokenizer> tokenizer;
  engine::ChatForm form;
  int context_tokens = 0;
  std::shared_ptr<Executor> strand;
};

void begin_reply(const Launch& launch, const ReplyRequest& request, std::stop_token cancelled,
                 const ReplyListener& listener) {
  const auto refuse = [&](Error error) {
    launch.strand->post(
        [ended = listener.ended, error = std::move(error)] { ended(tl::unexpected(error)); });
  };
  const int max_tokens = std::min(request.max_tokens, launch.context_tokens / 2);
  const int budget = launch.context_tokens - max_tokens;
  const auto messages = request.compose(*launch.tokenizer, budget);
  if (!messages) return refuse(messages.error());
  const auto begun = static_cast<int>(launch.tokenizer->encode(request.beginning).size());
  auto fitted = engine::fit_chat(*launch.tokenizer, launch.form, *messages, budget - begun);
  if (!fitted) return refuse(fitted.error());
  std::optional<engine::ChatForm> form = launch.form;
  if (!request.beginning.empty()) {
    begin_for_model(launch.form, request.beginning, fitted->prompt);
    form.reset();
  }
  if (listener.begun) {
    const PromptReport report{fitted->tokens,
                              static_cast<int>(messages->size() - fitted->kept.size())};
    launch.strand->post([begun = listener.begun, report] { begun(report); });
  }
  engine::GenerationRequest generation;
  generation.prompt = std::move(fitted->prompt);
  generation.sampling = request.sampling;
  generation.max_tokens = max_tokens;
  generation.priority = engine::Priority::chat;
  generation.session = request.session;
  generation.owner = request.owner;
  generation.cancel = std::move(cancelled);
  launch.engine->submit(std::move(generation),
                        std::make_shared<ReplyStream>(std::move(form), launch.strand, listener));
}

GeneratedReply cancelled_reply() {
  return {.text = {}, .reason = engine::FinishReason::cancelled, .tokens = {}, .usage = {}};
}

/// "X-Instruct" for a model called "X-Base"; empty for others.
std::string instruct_variant(const std::string& name) {
  constexpr std::string_view kBase = "base";
  const auto same = [](unsigned char a, unsigned char b) { return std::tolower(a) == b; };
  const auto found = std::ranges::search(name, kBase, same);
  if (found.empty()) return {};
  return std::string(name.begin(), found.begin()) + "Instruct" +
         std::string(found.end(), name.end());
}

}  // namespace

ChatModel::ChatModel(std::shared_ptr<engine::Engine> engine, std::shared_ptr<Executor> strand,
                     Executor& workers)
    : engine_(std::move(engine)), strand_(std::move(strand)), workers_(workers) {}

void ChatModel::start() {
  subscription_ = engine_->on_status([weak = weak_from_this(), strand = strand_](const auto&) {
    strand->post([weak] {
      if (const auto self = weak.lock()) self->engine_changed();
    });
  });
}

void ChatModel::generate(ReplyRequest request, std::stop_token cancelled, ReplyListener listener) {
  if (engine_->status().state != engine::EngineState::starting) {
    return launch(std::move(request), std::move(cancelled), std::move(listener));
  }
  Waiting& waiting = waiting_.emplace_back();
  waiting.request = std::move(request);
  waiting.cancelled = cancelled;
  waiting.listener = std::move(listener);
  waiting.on_cancel.emplace(std::move(cancelled), [weak = weak_from_this(), strand = strand_] {
    strand->post([weak] {
      if (const auto self = weak.lock()) self->drop_cancelled();
    });
  });
  // The state may have changed between the look at it and the entry in the list.
  if (engine_->status().state != engine::EngineState::starting) engine_changed();
}

void ChatModel::launch(ReplyRequest request, std::stop_token cancelled, ReplyListener listener) {
  const auto model = engine_->model();
  auto tokenizer = engine_->tokenizer();
  const engine::EngineStatus status = engine_->status();
  if (status.state != engine::EngineState::ready || !model) {
    return listener.ended(fail(ErrorKind::unavailable, status.reason));
  }
  if (!tokenizer) {
    return listener.ended(
        fail(ErrorKind::unsupported, "The remote model '" + model->name +
                                         "' was given without its tokenizer, which chat needs"));
  }
  auto form = engine::read_chat_template(*tokenizer);
  if (!form) {
    return listener.ended(
        fail(form.error().kind, "'" + model->name + "' cannot chat: " + form.error().message +
                                    " (chat.model names the folder of one that can, for example "
                                    "DeepSeek-Coder-V2-Lite-Instruct)"));
  }
  Launch launch{engine_, std::move(tokenizer), *std::move(form), model->context_tokens, strand_};
  workers_.post(
      [launch = std::move(launch), request = std::move(request), cancelled = std::move(cancelled),
       listener = std::move(listener)] { begin_reply(launch, request, cancelled, listener); });
}

void ChatModel::engine_changed() {
  if (engine_->status().state == engine::EngineState::starting) return;
  while (!waiting_.empty()) {
    Waiting& first = waiting_.front();
    ReplyRequest request = std::move(first.request);
    std::stop_token cancelled = first.cancelled;
    ReplyListener listener = std::move(first.listener);
    waiting_.pop_front();
    launch(std::move(request), std::move(cancelled), std::move(listener));
  }
}

void ChatModel::drop_cancelled() {
  for (auto waiting = waiting_.begin(); waiting != waiting_.end();) {
    if (!waiting->cancelled.stop_requested()) {
      ++waiting;
      continue;
    }
    const ReplyListener listener = std::move(waiting->listener);
    waiting = waiting_.erase(waiting);
    listener.ended(cancelled_reply());
  }
}

void ChatModel::stop() {
  subscription_ = {};
  std::list<Waiting> waiting = std::exchange(waiting_, {});
  for (Waiting& entry : waiting) entry.listener.ended(cancelled_reply());
}

bool ChatModel::may_chat() const {
  const engine::EngineState state = engine_->status().state;
  if (state == engine::EngineState::off || state == engine::EngineState::failed) return false;
  const auto model = engine_->model();
  return !model || model->chat;
}

std::string ChatModel::notice() const {
  const auto model = engine_->model();
  if (!model) return {};
  if (model->local && model->weight_bytes > 0 && model->weight_bytes < kSmallModelBytes) {
    return "'" + model->name +
           "' is a tiny model that has seen only a little chat; set chat.model to the folder of an "
           "Instruct model, for example DeepSeek-Coder-V2-Lite-Instruct, for answers to rely on.";
  }
  const std::string instruct = instruct_variant(model->name);
  if (instruct.empty()) return {};
  return "'" + model->name +
         "' is a base model, which completes and was not taught to chat; set chat.model to the "
         "folder of " +
         instruct + ".";
}

}  // namespace caretd::lsp
