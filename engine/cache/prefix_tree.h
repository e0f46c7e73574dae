// The prefix tree over token ids: which KV pages hold which token histories. A structure in memory
// only; KvCache moves the pages themselves.
//
// A node is one page: up to kPageTokens consecutive tokens that follow the tokens of its ancestors
// (the idea is RadixAttention's, arXiv 2312.07104, cut at page borders). Only a full node has
// children. Two siblings may begin with the same tokens: they are copies up to where they differ.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <tuple>
#include <vector>

#include "engine/cache/page_pool.h"
#include "engine/runner.h"
#include "engine/types.h"

namespace caretd::engine {

inline constexpr int kNoHostSlot = -1;

/// One page of history. Owned by the tree; changed through it.
struct CacheNode {
  CacheNode* parent = nullptr;                       ///< null: the root, which holds no tokens
  std::vector<std::unique_ptr<CacheNode>> children;  ///< ascending by tokens
  std::array<TokenId, kPageTokens> tokens{};
  int count = 0;  ///< tokens that are computed

  PageId page = kNoPage;        ///< kNoPage: evicted from the device
  int host_slot = kNoHostSlot;  ///< where its copy is, if it has one
  int refs = 0;                 ///< running sequences whose history includes this page
  int pins = 0;                 ///< owners whose pinned path includes this page
  bool growing = false;         ///< a running sequence still writes to this page

  int resident_children = 0;
  std::uint64_t last_used = 0;
  std::uint64_t serial = 0;  ///< creation order, the last tie-break of eviction
  bool listed = false;       ///< is in one of the eviction orders
  bool listed_on_host = false;

  [[nodiscard]] std::span<const TokenId> history() const {
    return std::span(tokens).first(static_cast<size_t>(count));
  }
  [[nodiscard]] bool full() const { return count == kPageTokens; }
  [[nodiscard]] bool resident() const { return page != kNoPage; }
};

/// The longest known beginning of some tokens.
struct PrefixMatch {
  std::vector<CacheNode*> full;  ///< whole pages, in order
  CacheNode* partial = nullptr;  ///< the page after them of which the first tokens agree
  int partial_tokens = 0;

  [[nodiscard]] int tokens() const {
    return static_cast<int>(full.size()) * kPageTokens + partial_tokens;
  }
};

class PrefixTree {
 public:
  PrefixTree();
  ~PrefixTree();
  PrefixTree(const PrefixTree&) = delete;
  PrefixTree& operator=(const PrefixTree&) = delete;

  [[nodiscard]] CacheNode& root() { return *root_; }
  [[nodiscard]] PrefixMatch match(std::span<const TokenId> tokens) const;
  [[nodiscard]] int match_length(std::span<const TokenId> tokens) const;

  /// A new growing node below `parent`, which is full or the root.
  CacheNode& insert(CacheNode& parent, std::span<const TokenId> tokens, PageId page);
  /// Appends computed tokens to a growing node.
  void extend(CacheNode& node, std::span<const TokenId> tokens);

  /// A sibling that begins with all the tokens of `node`; null if there is none.
  [[nodiscard]] CacheNode* sibling_covering(const CacheNode& node) const;
  /// A sibling in no use whose tokens are the beginning of those of `node`; null if there is none.
  [[nodiscard]] CacheNode* idle_sibling_covered_by(const CacheNode& node) const;

  /// References count running sequences; a sequence references every node of its history.
  void ref(CacheNode& node);
  void unref(CacheNode& node);
  /// Marks the node as used now. Descendants must not be younger than their ancestors.
  void touch(CacheNode& node);
  /// A new "now" for touch().
  void advance_time() { ++tick_; }

  /// Counts one more or less pin on the node and all its ancestors.
  void pin(CacheNode& node);
  void unpin(CacheNode& node);
  /// Moves all pins of `from` to its sibling `to`.
  void move_pins(CacheNode& from, CacheNode& to);

  void set_page(CacheNode& node, PageId page);
  void set_host_slot(CacheNode& node, int slot);
  /// The node has no references and no children.
  void erase(CacheNode& node);

  /// What to evict next: unpinned before pinned, least recently used first, leaves only. Null when
  /// every resident page is in use.
  [[nodiscard]] CacheNode* next_resident_victim() const;
  /// The same among pages that exist on the host only.
  [[nodiscard]] CacheNode* next_host_victim() const;
  /// True if `a` is to go before `b`; false where they are equally old.
  [[nodiscard]] static bool evicted_before(const CacheNode& a, const CacheNode& b);

  [[nodiscard]] int nodes() const { return nodes_; }            ///< the root not counted
  [[nodiscard]] int referenced() const { return referenced_; }  ///< nodes with refs > 0
  [[nodiscard]] int pinned() const { return pinned_; }          ///< resident nodes with pins > 0

 private:
  using EvictionKey = std::tuple<bool, std::uint64_t, std::uint64_t, CacheNode*>;

  [[nodiscard]] static EvictionKey key(CacheNode& node);
  void unlist(CacheNode& node);
  void list(CacheNode& node);

  std::unique_ptr<CacheNode> root_;
  std::set<EvictionKey> resident_order_;
  std::set<EvictionKey> host_order_;
  std::uint64_t tick_ = 0;
  std::uint64_t serials_ = 0;
  int nodes_ = 0;
  int referenced_ = 0;
  int pinned_ = 0;
};

}  // namespace caretd::engine
