#include "engine/cache/kv_cache.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace caretd::engine {
namespace {

int pages_for(int tokens) {
  return (tokens + kPageTokens - 1) / kPageTokens;
}

}  // namespace

KvCache::KvCache(Runner& runner)
    : runner_(runner),
      pool_(runner.info().pages),
      host_(runner.info().host_pages, static_cast<std::size_t>(runner.info().page_bytes)) {}

int KvCache::cached_tokens(std::span<const TokenId> tokens) const {
  return tree_.match_length(tokens);
}

int KvCache::pages_to_run(std::span<const TokenId> tokens, int length) const {
  const PrefixMatch match = tree_.match(tokens);
  const auto in_use = std::ranges::count_if(match.full, [](auto* node) { return node->refs > 0; });
  return pages_for(length) - static_cast<int>(in_use);
}

Result<void> KvCache::open(PageTable& table, std::span<const TokenId> tokens, CacheOwner owner) {
  assert(table.id_ == 0);
  table.id_ = ++tables_;
  table.owner_ = owner;
  start_pin(table);

  // The references keep what was found from being evicted while room is made for the rest of it.
  const PrefixMatch match = tree_.match(tokens);
  for (CacheNode* node : match.full) tree_.ref(*node);
  if (match.partial != nullptr) tree_.ref(*match.partial);

  Result<bool> usable = true;
  for (CacheNode* node : match.full) {
    if (usable && *usable && !node->resident()) usable = bring_back(*node);
    if (usable && *usable) {
      append_node(table, *node);
    } else {
      tree_.unref(*node);
    }
  }
  if (match.partial != nullptr) {
    const bool reached = usable && *usable;
    Result<bool> adopted = false;
    if (reached) adopted = take_partial(table, match);
    if (!adopted || !*adopted) tree_.unref(*match.partial);
    if (!adopted) usable = pass_on(std::move(adopted));
  }
  advance_pin(table);
  if (!usable) return pass_on(std::move(usable));
  return {};
}

bool KvCache::reserve(PageTable& table, int tokens) {
  const int have = static_cast<int>(table.pages_.size());
  const int missing = pages_for(table.tokens_ + tokens) - have;
  if (missing > available_pages()) return false;
  for (int i = 0; i < missing; ++i) {
    const std::optional<PageId> page = allocate();
    assert(page);
    table.pages_.push_back(*page);
    ++reserved_;
  }
  return true;
}

void KvCache::commit(PageTable& table, std::span<const TokenId> tokens) {
  while (!tokens.empty()) {
    const int row = table.tokens_ % kPageTokens;
    const auto count = std::min<size_t>(static_cast<size_t>(kPageTokens - row), tokens.size());
    if (row == 0) {
      CacheNode& parent = table.nodes_.empty() ? tree_.root() : *table.nodes_.back();
      const PageId page = table.pages_[table.nodes_.size()];
      CacheNode& node = tree_.insert(parent, tokens.first(count), page);
      tree_.ref(node);
      --reserved_;
      table.nodes_.push_back(&node);
      advance_pin(table);
    } else {
      tree_.extend(*table.nodes_.back(), tokens.first(count));
    }
    table.tokens_ += static_cast<int>(count);
    if (table.nodes_.back()->full()) settle_full_page(table);
    tokens = tokens.subspan(count);
  }
}

void KvCache::close(PageTable& table) {
  if (table.id_ == 0) return;
  for (size_t i = table.nodes_.size(); i < table.pages_.size(); ++i) {
    pool_.free(table.pages_[i]);
    --reserved_;
  }
  tree_.advance_time();
  for (CacheNode* node : table.nodes_) tree_.touch(*node);
  CacheNode* const last = table.nodes_.empty() ? nullptr : table.nodes_.back();
  for (CacheNode* node : table.nodes_) tree_.unref(*node);
  if (last != nullptr && last->growing) settle_last_page(*last);
  const auto pin = pins_.find(table.owner_);
  if (pin != pins_.end() && pin->second.table == table.id_) pin->second.table = 0;
  table = PageTable{};
}

void KvCache::release(CacheOwner owner) {
  const auto pin = pins_.find(owner);
  if (pin == pins_.end()) return;
  move_pin(pin->second, nullptr);
  pins_.erase(pin);
}

void KvCache::clear() {
  const auto clear_below = [this](const auto& self, CacheNode& node) -> void {
    for (size_t i = node.children.size(); i-- > 0;) {
      CacheNode& child = *node.children[i];
      child.refs == 0 ? drop_subtree(child) : self(self, child);
    }
  };
  clear_below(clear_below, tree_.root());
}

int KvCache::available_pages() const {
  return capacity() - tree_.referenced() - reserved_;
}

std::optional<PageId> KvCache::allocate() {
  while (true) {
    if (const std::optional<PageId> page = pool_.allocate()) return page;
    if (!evict_one()) return std::nullopt;
  }
}

bool KvCache::evict_one() {
  CacheNode* const victim = tree_.next_resident_victim();
  if (victim == nullptr) return false;
  if (copy_to_host(*victim)) {
    pool_.free(victim->page);
    tree_.set_page(*victim, kNoPage);
  } else {
    drop_subtree(*victim);
  }
  return true;
}

bool KvCache::copy_to_host(CacheNode& node) {
  if (host_.capacity() == 0) return false;
  std::optional<int> slot = host_.acquire();
  while (!slot) {
    CacheNode* const older = tree_.next_host_victim();
    if (older == nullptr || PrefixTree::evicted_before(node, *older)) return false;
    drop(*older);
    slot = host_.acquire();
  }
  if (!runner_.read_page(node.page, host_.bytes(*slot))) {
    host_.release(*slot);
    return false;
  }
  tree_.set_host_slot(node, *slot);
  return true;
}

/// Forgets a leaf. Owners that were pinned to it stay pinned to what is left of their path.
void KvCache::drop(CacheNode& node) {
  if (node.pins > 0) {
    CacheNode* const rest = node.parent == &tree_.root() ? nullptr : node.parent;
    for (auto& [owner, pin] : pins_) {
      if (pin.node == &node) pin.node = rest;
    }
  }
  if (node.host_slot != kNoHostSlot) host_.release(node.host_slot);
  if (node.resident()) pool_.free(node.page);
  tree_.erase(node);
}

void KvCache::drop_subtree(CacheNode& node) {
  while (!node.children.empty()) drop_subtree(*node.children.back());
  drop(node);
}

/// Moves a page from the host to the device; false when there is no room.
Result<bool> KvCache::bring_back(CacheNode& node) {
  const std::optional<PageId> page = allocate();
  if (!page) return false;
  if (auto written = runner_.write_page(*page, host_.bytes(node.host_slot)); !written) {
    pool_.free(*page);
    return pass_on(std::move(written));
  }
  host_.release(node.host_slot);
  tree_.set_host_slot(node, kNoHostSlot);
  tree_.set_page(node, *page);
  return true;
}

/// Continues a page that nobody writes to and that agrees as a whole (true: the table keeps the
/// reference to it), else copies the rows that agree into a page of the table's own.
Result<bool> KvCache::take_partial(PageTable& table, const PrefixMatch& match) {
  CacheNode& source = *match.partial;
  const bool ends_here = match.partial_tokens == source.count && !source.full();
  if (ends_here && source.refs == 1 && !source.growing) {
    if (!source.resident()) {
      Result<bool> back = bring_back(source);
      if (!back || !*back) return back;
    }
    source.growing = true;
    append_node(table, source);
    return true;
  }
  const std::optional<PageId> page = allocate();
  if (!page) return false;
  if (auto copied = copy_rows(source, *page, match.partial_tokens); !copied) {
    pool_.free(*page);
    return pass_on(std::move(copied));
  }
  const auto rows = source.history().first(static_cast<size_t>(match.partial_tokens));
  CacheNode& copy = tree_.insert(*source.parent, rows, *page);
  tree_.ref(copy);
  append_node(table, copy);
  return false;
}

Result<void> KvCache::copy_rows(CacheNode& from, PageId to, int rows) {
  if (from.resident()) return runner_.copy_page(from.page, to, rows);
  return runner_.write_page(to, host_.bytes(from.host_slot));
}

void KvCache::append_node(PageTable& table, CacheNode& node) {
  table.nodes_.push_back(&node);
  table.pages_.push_back(node.page);
  table.tokens_ += node.count;
}

/// A page that became full is shared from now on. If another sequence has computed the same tokens
/// meanwhile, one page is enough.
void KvCache::settle_full_page(PageTable& table) {
  CacheNode& node = *table.nodes_.back();
  node.growing = false;
  CacheNode* const twin = tree_.sibling_covering(node);
  if (twin == nullptr) return;
  if (!twin->resident()) {
    const PageId page = node.page;
    tree_.set_page(node, kNoPage);
    host_.release(twin->host_slot);
    tree_.set_host_slot(*twin, kNoHostSlot);
    tree_.set_page(*twin, page);
  }
  tree_.ref(*twin);
  table.pages_[table.nodes_.size() - 1] = twin->page;
  table.nodes_.back() = twin;
  tree_.unref(node);
  replace(node, *twin);
}

/// Keeps one page where the last page of a sequence and a sibling hold the same tokens.
void KvCache::settle_last_page(CacheNode& node) {
  node.growing = false;
  CacheNode* const covering = tree_.sibling_covering(node);
  if (covering != nullptr && covering->resident()) return replace(node, *covering);
  while (CacheNode* const shorter = tree_.idle_sibling_covered_by(node)) replace(*shorter, node);
}

/// Drops a leaf whose tokens its sibling `by` holds too; its pins move there.
void KvCache::replace(CacheNode& node, CacheNode& by) {
  tree_.move_pins(node, by);
  for (auto& [owner, pin] : pins_) {
    if (pin.node == &node) pin.node = &by;
  }
  drop(node);
}

void KvCache::start_pin(PageTable& table) {
  if (table.owner_ == kNoOwner) return;
  Pin& pin = pins_[table.owner_];
  move_pin(pin, nullptr);
  pin.table = table.id_;
}

void KvCache::advance_pin(const PageTable& table) {
  if (table.owner_ == kNoOwner || table.nodes_.empty()) return;
  const auto pin = pins_.find(table.owner_);
  if (pin == pins_.end() || pin->second.table != table.id_) return;
  move_pin(pin->second, table.nodes_.back());
}

void KvCache::move_pin(Pin& pin, CacheNode* to) {
  if (to != nullptr) tree_.pin(*to);
  if (pin.node != nullptr) tree_.unpin(*pin.node);
  pin.node = to;
}

}  // namespace caretd::engine
