#include "daemon/remote/http_client.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>

#include <curl/curl.h>

#include "daemon/build_info.h"

namespace caretd::daemon {

namespace {

constexpr long kMostConnections = 64;

struct EasyDeleter {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct MultiDeleter {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
struct ListDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

/// One request under way; libcurl holds pointers into it.
struct Transfer {
  HttpClient::Id id = 0;
  ClientRequest request;
  std::shared_ptr<ClientListener> listener;
  std::unique_ptr<curl_slist, ListDeleter> headers;
  std::unique_ptr<CURL, EasyDeleter> easy;
  std::array<char, CURL_ERROR_SIZE> error{};
  bool stopped = false;  ///< by its listener
};

int status_of(CURL* easy) {
  long status = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  return static_cast<int>(status);
}

size_t on_body(char* bytes, size_t, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const int status = status_of(transfer.easy.get());
  if (transfer.listener->on_body(status, {bytes, count})) return count;
  transfer.stopped = true;
  return CURL_WRITEFUNC_ERROR;
}

bool is_drop(CURLcode code) {
  return code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR ||
         code == CURLE_PARTIAL_FILE || code == CURLE_COULDNT_CONNECT ||
         code == CURLE_HTTP2_STREAM || code == CURLE_HTTP2;
}

class Client final : public HttpClient {
 public:
  Client(ClientOptions options, std::function<std::chrono::milliseconds()> each_round)
      : options_(std::move(options)), each_round_(std::move(each_round)) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    multi_.reset(curl_multi_init());
    curl_multi_setopt(multi_.get(), CURLMOPT_MAX_TOTAL_CONNECTIONS, kMostConnections);
    thread_ = std::thread([this] { run(); });
  }
  ~Client() override {
    stopping_ = true;
    wake();
    thread_.join();
    transfers_.clear();
    multi_.reset();
    curl_global_cleanup();
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void post(std::function<void()> task) override {
    {
      const std::lock_guard lock(mutex_);
      tasks_.push_back(std::move(task));
    }
    wake();
  }
  void wake() override { curl_multi_wakeup(multi_.get()); }

  [[nodiscard]] Id send(ClientRequest request, std::shared_ptr<ClientListener> listener,
                        bool fresh) override;
  void abandon(Id id) override;

 private:
  void run();
  void run_tasks();
  void read_outcomes();
  void set_options(Transfer& transfer, bool fresh) const;
  void finish(Id id, CURLcode code);

  const ClientOptions options_;
  const std::function<std::chrono::milliseconds()> each_round_;
  std::unique_ptr<CURLM, MultiDeleter> multi_;
  std::map<Id, std::unique_ptr<Transfer>> transfers_;  ///< the thread's own
  Id next_id_ = 1;
  std::atomic<bool> stopping_ = false;
  std::mutex mutex_;
  std::vector<std::function<void()>> tasks_;
  std::thread thread_;
};

void Client::run() {
  while (!stopping_) {
    run_tasks();
    int running = 0;
    curl_multi_perform(multi_.get(), &running);
    read_outcomes();
    const auto wait = each_round_();
    curl_multi_poll(multi_.get(), nullptr, 0, static_cast<int>(wait.count()), nullptr);
  }
  run_tasks();
  for (auto& [id, transfer] : transfers_) {
    curl_multi_remove_handle(multi_.get(), transfer->easy.get());
  }
}

void Client::run_tasks() {
  std::vector<std::function<void()>> taken;
  {
    const std::lock_guard lock(mutex_);
    taken.swap(tasks_);
  }
  for (const auto& task : taken) task();
}

void Client::read_outcomes() {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_.get(), &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode code = message->data.result;
    const auto found = std::ranges::find_if(transfers_, [&](const auto& entry) {
      return entry.second->easy.get() == message->easy_handle;
    });
    if (found != transfers_.end()) finish(found->first, code);
  }
}

HttpClient::Id Client::send(ClientRequest request, std::shared_ptr<ClientListener> listener,
                            bool fresh) {
  auto transfer = std::make_unique<Transfer>();
  transfer->id = next_id_++;
  transfer->request = std::move(request);
  transfer->listener = std::move(listener);
  transfer->easy.reset(curl_easy_init());
  set_options(*transfer, fresh);
  curl_multi_add_handle(multi_.get(), transfer->easy.get());
  const Id id = transfer->id;
  transfers_.emplace(id, std::move(transfer));
  wake();
  return id;
}

/// Whether the URL names this machine, which no proxy can reach.
bool is_on_this_machine(const std::string& url) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parsed(curl_url(), &curl_url_cleanup);
  char* found = nullptr;
  if (curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK ||
      curl_url_get(parsed.get(), CURLUPART_HOST, &found, 0) != CURLUE_OK) {
    return false;
  }
  const std::unique_ptr<char, decltype(&curl_free)> host(found, &curl_free);
  const std::string_view name(found);
  return name == "localhost" || name == "[::1]" || name.ends_with(".localhost") ||
         (name.starts_with("127.") && name.find_first_not_of("0123456789.") == name.npos);
}

void Client::set_options(Transfer& transfer, bool fresh) const {
  CURL* easy = transfer.easy.get();
  const ClientRequest& request = transfer.request;
  // Nothing waits for "100 Continue".
  curl_slist* headers = curl_slist_append(nullptr, "Expect:");
  for (const std::string& header : request.headers) {
    headers = curl_slist_append(headers, header.c_str());
  }
  transfer.headers.reset(headers);
  const std::string agent = "caretd/" + std::string(version());
  curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer.headers.get());
  curl_easy_setopt(easy, CURLOPT_USERAGENT, agent.c_str());
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer.error.data());
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                   static_cast<long>(options_.connect_time.count()));
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, static_cast<long>(options_.silence_time.count()));
  if (!options_.ca_file.empty()) {
    curl_easy_setopt(easy, CURLOPT_CAINFO, options_.ca_file.c_str());
  }
  if (is_on_this_machine(request.url)) curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
  if (fresh) curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
  if (request.body.empty()) return;
  curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
  curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request.body.data());
}

void Client::abandon(Id id) {
  const auto found = transfers_.find(id);
  if (found == transfers_.end()) return;
  curl_multi_remove_handle(multi_.get(), found->second->easy.get());
  transfers_.erase(found);
}

void Client::finish(Id id, CURLcode code) {
  const auto found = transfers_.find(id);
  const std::unique_ptr<Transfer> transfer = std::move(found->second);
  transfers_.erase(found);
  curl_multi_remove_handle(multi_.get(), transfer->easy.get());
  ClientOutcome outcome;
  outcome.status = status_of(transfer->easy.get());
  if (code != CURLE_OK && !transfer->stopped) {
    outcome.failure =
        transfer->error.front() != '\0' ? transfer->error.data() : curl_easy_strerror(code);
    outcome.dropped = is_drop(code);
  }
  transfer->listener->on_end(outcome);
}

}  // namespace

std::unique_ptr<HttpClient> HttpClient::start(
    const ClientOptions& options, std::function<std::chrono::milliseconds()> each_round) {
  return std::make_unique<Client>(options, std::move(each_round));
}

}  // namespace caretd::daemon
