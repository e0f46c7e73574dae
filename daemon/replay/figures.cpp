#include "daemon/replay/figures.h"

#include <algorithm>
#include <cmath>

namespace caretd::daemon::replay {

namespace {

/// The values behind the quantiles.
struct Samples {
  std::vector<double> ghost;
  std::vector<double> model_ghost;
  std::vector<double> as_suggested;
  std::vector<double> inside_line;
  std::vector<double> elsewhere;
};

void add_tokens(Figures& figures, Samples& samples, const KeyRecord& key) {
  figures.cached_tokens.count += key.tokens.cached;
  figures.cached_tokens.of += key.tokens.prompt;
  figures.background_tokens += static_cast<double>(key.background_tokens);
  figures.generated_tokens += static_cast<double>(key.generated);
  auto& place = key.inside_line ? samples.inside_line : samples.elsewhere;
  place.push_back(static_cast<double>(key.tokens.computed));
  if (!key.inside_line) return;
  ++figures.asked_inside_line.of;
  if (key.tokens.prompt > 0) ++figures.asked_inside_line.count;
}

void add_ghost(Figures& figures, Samples& samples, const KeyRecord& key) {
  const Ghost& ghost = *key.ghost;
  const double ms = to_milliseconds(*key.answer);
  ++figures.ghosts.count;
  if (ghost.all_right()) ++figures.right.count;
  samples.ghost.push_back(ms);
  if (!ghost.from_cache) samples.model_ghost.push_back(ms);
  if (!ghost.goes_on) {
    figures.wrong_characters.count += static_cast<std::int64_t>(ghost.characters - ghost.right);
  }
}

void add(Figures& figures, Samples& samples, const KeyRecord& key) {
  ++figures.keys;
  const bool cached_ghost = key.ghost && key.ghost->from_cache;
  if (!key.answer) ++figures.late.count;
  if (key.ghost) add_ghost(figures, samples, key);
  if (key.as_suggested) {
    ++figures.typed_as_suggested_cached.of;
    if (cached_ghost) {
      ++figures.typed_as_suggested_cached.count;
      samples.as_suggested.push_back(to_milliseconds(key.ghost->in_server));
    }
  }
  if (key.kind == KeyKind::accept) {
    ++figures.next_ghost_ready.of;
    if (cached_ghost) ++figures.next_ghost_ready.count;
  }
  if (key.kind == KeyKind::accept_word) ++figures.word_accepts;
  add_tokens(figures, samples, key);
}

void finish(Figures& figures, Samples& samples) {
  figures.time_to_ghost = quantiles_of(std::move(samples.ghost));
  figures.time_to_model_ghost = quantiles_of(std::move(samples.model_ghost));
  figures.typed_as_suggested = quantiles_of(std::move(samples.as_suggested));
  figures.computed_inside_line = quantiles_of(std::move(samples.inside_line));
  figures.computed_elsewhere = quantiles_of(std::move(samples.elsewhere));
  figures.ghosts.of = figures.right.of = figures.late.of = figures.keys;
  figures.right_of_ghosts = {figures.right.count, figures.ghosts.count};
  figures.wrong_characters.of = figures.accepted_characters.of = figures.characters;
  figures.saved = {figures.keys_without_suggestions - figures.keys,
                   figures.keys_without_suggestions};
  if (figures.keys == 0) return;
  figures.background_tokens /= static_cast<double>(figures.keys);
  figures.generated_tokens /= static_cast<double>(figures.keys);
}

Figures figures_of(const std::vector<const TypedFileRecord*>& files) {
  Figures figures;
  Samples samples;
  for (const TypedFileRecord* file : files) {
    figures.keys_without_suggestions += static_cast<std::int64_t>(file->keys_without_suggestions);
    figures.characters += static_cast<std::int64_t>(file->characters);
    figures.accepted_characters.count += static_cast<std::int64_t>(file->accepted_characters);
    for (const KeyRecord& key : file->keys) add(figures, samples, key);
  }
  finish(figures, samples);
  return figures;
}

}  // namespace

Quantiles quantiles_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::ranges::sort(values);
  const auto at = [&](double share) {
    const double rank = std::ceil(share * static_cast<double>(values.size()));
    return values[static_cast<std::size_t>(std::max(rank, 1.0)) - 1];
  };
  return {values.size(), at(0.5), at(0.9), at(0.99), values.back()};
}

Figures figures_of(const std::vector<TypedFileRecord>& files) {
  std::vector<const TypedFileRecord*> all;
  for (const TypedFileRecord& file : files) all.push_back(&file);
  return figures_of(all);
}

std::map<std::string, Figures> figures_by_language(const std::vector<TypedFileRecord>& files) {
  std::map<std::string, std::vector<const TypedFileRecord*>> groups;
  for (const TypedFileRecord& file : files) groups[file.language].push_back(&file);
  std::map<std::string, Figures> figures;
  for (const auto& [language, group] : groups) figures[language] = figures_of(group);
  return figures;
}

}  // namespace caretd::daemon::replay
