#include "engine/cache/prefix_tree.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace caretd::engine {
namespace {

using Tokens = std::span<const TokenId>;
using Children = std::vector<std::unique_ptr<CacheNode>>;

int common_prefix(Tokens a, Tokens b) {
  const auto [end, ignored] = std::ranges::mismatch(a, b);
  return static_cast<int>(end - a.begin());
}

bool less(Tokens a, Tokens b) {
  return std::ranges::lexicographical_compare(a, b);
}

size_t lower_bound(const Children& children, Tokens tokens) {
  const auto at = std::ranges::lower_bound(children, tokens, less,
                                           [](const auto& child) { return child->history(); });
  return static_cast<size_t>(at - children.begin());
}

size_t index_of(const CacheNode& node) {
  const Children& siblings = node.parent->children;
  size_t at = lower_bound(siblings, node.history());
  while (siblings[at].get() != &node) ++at;
  return at;
}

struct ChildMatch {
  CacheNode* child = nullptr;
  int tokens = 0;
};

/// The child with the longest common beginning: in lexicographic order it is a neighbour of the
/// place where `tokens` would be.
ChildMatch best_child(const CacheNode& node, Tokens tokens) {
  const Children& children = node.children;
  const size_t at = lower_bound(children, tokens);
  ChildMatch best;
  for (size_t i = at == 0 ? 0 : at - 1; i <= at && i < children.size(); ++i) {
    const int common = common_prefix(children[i]->history(), tokens);
    if (common > best.tokens) best = {children[i].get(), common};
  }
  return best;
}

}  // namespace

PrefixTree::PrefixTree() : root_(std::make_unique<CacheNode>()) {}
PrefixTree::~PrefixTree() = default;

PrefixMatch PrefixTree::match(Tokens tokens) const {
  PrefixMatch result;
  const CacheNode* node = root_.get();
  while (!tokens.empty()) {
    const Tokens page = tokens.first(std::min<size_t>(tokens.size(), kPageTokens));
    const ChildMatch best = best_child(*node, page);
    if (best.tokens < kPageTokens) {
      result.partial = best.child;
      result.partial_tokens = best.tokens;
      break;
    }
    result.full.push_back(best.child);
    node = best.child;
    tokens = tokens.subspan(kPageTokens);
  }
  return result;
}

int PrefixTree::match_length(Tokens tokens) const {
  int length = 0;
  const CacheNode* node = root_.get();
  while (!tokens.empty()) {
    const Tokens page = tokens.first(std::min<size_t>(tokens.size(), kPageTokens));
    const ChildMatch best = best_child(*node, page);
    length += best.tokens;
    if (best.tokens < kPageTokens) break;
    node = best.child;
    tokens = tokens.subspan(kPageTokens);
  }
  return length;
}

CacheNode& PrefixTree::insert(CacheNode& parent, Tokens tokens, PageId page) {
  assert(parent.parent == nullptr || parent.full());
  auto owned = std::make_unique<CacheNode>();
  CacheNode& node = *owned;
  node.parent = &parent;
  std::ranges::copy(tokens, node.tokens.begin());
  node.count = static_cast<int>(tokens.size());
  node.growing = true;
  node.serial = ++serials_;
  node.last_used = tick_;
  const size_t at = lower_bound(parent.children, tokens);
  parent.children.insert(parent.children.begin() + static_cast<std::ptrdiff_t>(at),
                         std::move(owned));
  ++nodes_;
  set_page(node, page);
  return node;
}

void PrefixTree::extend(CacheNode& node, Tokens tokens) {
  assert(node.growing && node.children.empty());
  assert(node.count + static_cast<int>(tokens.size()) <= kPageTokens);
  size_t at = index_of(node);
  std::ranges::copy(tokens, node.tokens.begin() + node.count);
  node.count += static_cast<int>(tokens.size());
  // A longer history sorts behind its old place or at it.
  Children& siblings = node.parent->children;
  while (at + 1 < siblings.size() && less(siblings[at + 1]->history(), node.history())) {
    std::swap(siblings[at], siblings[at + 1]);
    ++at;
  }
}

CacheNode* PrefixTree::sibling_covering(const CacheNode& node) const {
  const Children& siblings = node.parent->children;
  for (size_t at = lower_bound(siblings, node.history()); at < siblings.size(); ++at) {
    CacheNode& sibling = *siblings[at];
    if (common_prefix(sibling.history(), node.history()) < node.count) break;
    if (&sibling != &node) return &sibling;
  }
  return nullptr;
}

CacheNode* PrefixTree::idle_sibling_covered_by(const CacheNode& node) const {
  const Children& siblings = node.parent->children;
  // Beginnings of these tokens sort before them; the ones that share no first token end the search.
  for (size_t at = index_of(node); at > 0; --at) {
    CacheNode& sibling = *siblings[at - 1];
    const int common = common_prefix(sibling.history(), node.history());
    if (common == 0) break;
    if (common == sibling.count && sibling.refs == 0) return &sibling;
  }
  return nullptr;
}

void PrefixTree::ref(CacheNode& node) {
  if (node.refs == 0) {
    unlist(node);
    ++referenced_;
  }
  ++node.refs;
}

void PrefixTree::unref(CacheNode& node) {
  assert(node.refs > 0);
  --node.refs;
  if (node.refs == 0) {
    --referenced_;
    list(node);
  }
}

void PrefixTree::touch(CacheNode& node) {
  unlist(node);
  node.last_used = tick_;
  list(node);
}

void PrefixTree::pin(CacheNode& node) {
  for (CacheNode* at = &node; at->parent != nullptr; at = at->parent) {
    unlist(*at);
    if (at->pins++ == 0 && at->resident()) ++pinned_;
    list(*at);
  }
}

void PrefixTree::unpin(CacheNode& node) {
  for (CacheNode* at = &node; at->parent != nullptr; at = at->parent) {
    assert(at->pins > 0);
    unlist(*at);
    if (--at->pins == 0 && at->resident()) --pinned_;
    list(*at);
  }
}

void PrefixTree::move_pins(CacheNode& from, CacheNode& to) {
  assert(from.parent == to.parent);
  if (from.pins == 0) return;
  unlist(from);
  unlist(to);
  if (from.resident()) --pinned_;
  if (to.pins == 0 && to.resident()) ++pinned_;
  to.pins += std::exchange(from.pins, 0);
  list(from);
  list(to);
}

void PrefixTree::set_page(CacheNode& node, PageId page) {
  const int change = static_cast<int>(page != kNoPage) - static_cast<int>(node.resident());
  unlist(node);
  unlist(*node.parent);
  node.page = page;
  node.parent->resident_children += change;
  if (node.pins > 0) pinned_ += change;
  list(*node.parent);
  list(node);
}

void PrefixTree::set_host_slot(CacheNode& node, int slot) {
  unlist(node);
  node.host_slot = slot;
  list(node);
}

void PrefixTree::erase(CacheNode& node) {
  assert(node.refs == 0 && node.children.empty());
  if (node.resident()) set_page(node, kNoPage);
  unlist(node);
  CacheNode& parent = *node.parent;
  unlist(parent);
  parent.children.erase(parent.children.begin() + static_cast<std::ptrdiff_t>(index_of(node)));
  list(parent);
  --nodes_;
}

CacheNode* PrefixTree::next_resident_victim() const {
  return resident_order_.empty() ? nullptr : std::get<CacheNode*>(*resident_order_.begin());
}

CacheNode* PrefixTree::next_host_victim() const {
  return host_order_.empty() ? nullptr : std::get<CacheNode*>(*host_order_.begin());
}

bool PrefixTree::evicted_before(const CacheNode& a, const CacheNode& b) {
  return std::pair(a.pins > 0, a.last_used) < std::pair(b.pins > 0, b.last_used);
}

PrefixTree::EvictionKey PrefixTree::key(CacheNode& node) {
  return {node.pins > 0, node.last_used, node.serial, &node};
}

/// Takes the node out of the eviction orders, before anything its place depends on changes.
void PrefixTree::unlist(CacheNode& node) {
  if (!node.listed) return;
  (node.listed_on_host ? host_order_ : resident_order_).erase(key(node));
  node.listed = false;
}

/// Puts the node where it belongs now, if it may be evicted at all.
void PrefixTree::list(CacheNode& node) {
  if (node.parent == nullptr || node.refs > 0) return;
  const bool evictable = node.resident() ? node.resident_children == 0
                                         : node.host_slot != kNoHostSlot && node.children.empty();
  if (!evictable) return;
  node.listed_on_host = !node.resident();
  (node.listed_on_host ? host_order_ : resident_order_).insert(key(node));
  node.listed = true;
}

}  // namespace caretd::engine
