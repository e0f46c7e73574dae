// The KV cache of one runner: the pages of running sequences, and what finished ones left behind
// for requests that begin alike.
//
// Every page that holds computed tokens is a node of one prefix tree, the pages of running
// sequences included, so a request finds the tokens of another while that one still runs. Full
// pages are shared by reference; of a partly matching page the matching rows are copied. A page is
// written by one sequence at most.
//
// Not thread-safe: used by the thread that owns the runner.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "engine/cache/host_pages.h"
#include "engine/cache/page_pool.h"
#include "engine/cache/prefix_tree.h"
#include "engine/engine.h"
#include "engine/runner.h"
#include "support/result.h"

namespace caretd::engine {

/// The pages of one running sequence, in order. Filled by KvCache::open, emptied by close; must be
/// closed before it is destroyed.
class PageTable {
 public:
  [[nodiscard]] std::span<const PageId> pages() const { return pages_; }
  /// Tokens whose rows are computed.
  [[nodiscard]] int tokens() const { return tokens_; }

 private:
  friend class KvCache;

  std::vector<PageId> pages_;      ///< those of nodes_, then reserved ones without any token yet
  std::vector<CacheNode*> nodes_;  ///< referenced
  int tokens_ = 0;
  CacheOwner owner_ = kNoOwner;
  std::uint64_t id_ = 0;  ///< 0: not open
};

class KvCache {
 public:
  explicit KvCache(Runner& runner);

  /// How many of these tokens open() would find now.
  [[nodiscard]] int cached_tokens(std::span<const TokenId> tokens) const;

  /// How many of available_pages() a sequence takes that opens with `tokens` and grows to `length`
  /// tokens.
  [[nodiscard]] int pages_to_run(std::span<const TokenId> tokens, int length) const;

  /// Starts a sequence: references or copies the pages of the longest known beginning of `tokens`
  /// and pins the owner's path to it. Finds fewer tokens where there is no room for a copy; fails
  /// only when the runner does.
  [[nodiscard]] Result<void> open(PageTable& table, std::span<const TokenId> tokens,
                                  CacheOwner owner);

  /// Makes sure that the table covers `tokens` more, evicting what no running sequence uses.
  /// False when there are not enough such pages; the table is as it was then.
  [[nodiscard]] bool reserve(PageTable& table, int tokens);

  /// The rows of these tokens, the next after table.tokens(), were computed and may be shared.
  void commit(PageTable& table, std::span<const TokenId> tokens);

  /// The sequence is over or suspended; what it computed stays until it is evicted.
  void close(PageTable& table);

  /// Unpins the owner's path.
  void release(CacheOwner owner);
  /// Forgets everything that no running sequence uses, pinned or not.
  void clear();

  /// Pages that reserve() could hand out: free ones and those that only the cache itself holds.
  [[nodiscard]] int available_pages() const;
  [[nodiscard]] int capacity() const { return pool_.capacity(); }
  [[nodiscard]] int used_pages() const { return pool_.used(); }
  [[nodiscard]] int pinned_pages() const { return tree_.pinned(); }
  [[nodiscard]] int host_pages() const { return host_.used(); }

 private:
  struct Pin {
    CacheNode* node = nullptr;  ///< null: nothing computed yet
    std::uint64_t table = 0;    ///< the running sequence that the pin follows; 0: none
  };

  [[nodiscard]] std::optional<PageId> allocate();
  bool evict_one();
  [[nodiscard]] bool copy_to_host(CacheNode& node);
  void drop(CacheNode& node);
  void drop_subtree(CacheNode& node);

  [[nodiscard]] Result<bool> bring_back(CacheNode& node);
  [[nodiscard]] Result<bool> take_partial(PageTable& table, const PrefixMatch& match);
  [[nodiscard]] Result<void> copy_rows(CacheNode& from, PageId to, int rows);
  void append_node(PageTable& table, CacheNode& node);
  void settle_full_page(PageTable& table);
  void settle_last_page(CacheNode& node);
  void replace(CacheNode& node, CacheNode& by);

  void start_pin(PageTable& table);
  void advance_pin(const PageTable& table);
  void move_pin(Pin& pin, CacheNode* to);

  Runner& runner_;
  PagePool pool_;
  HostPages host_;
  PrefixTree tree_;
  std::map<CacheOwner, Pin> pins_;
  std::uint64_t tables_ = 0;
  int reserved_ = 0;  ///< pages of running sequences without a token yet
};

}  // namespace caretd::engine
