#include "daemon/config/configuration.h"

#include <algorithm>

#include <nlohmann/json.hpp>
#include <spdlog/fmt/fmt.h>

namespace caretd::daemon {

namespace {

constexpr std::string_view kEnvironmentPrefix = "CARETD_";

bool takes_project_keys_only(Layer layer) {
  return layer == Layer::project_file || layer == Layer::workspace_settings;
}

std::string unknown_key(const std::string& key) {
  const auto nearest = nearest_key(key);
  return nearest ? fmt::format("there is no setting '{}'; did you mean {}?", key, *nearest)
                 : fmt::format("there is no setting '{}'", key);
}

/// Applies one assignment, or says why not.
Result<void> assign(Configuration& configuration, Layer layer, const Assignment& assignment) {
  const Key* key = find_key(assignment.key);
  if (key == nullptr) return fail(ErrorKind::invalid_input, unknown_key(assignment.key));
  if (takes_project_keys_only(layer) && key->scope != KeyScope::project) {
    return fail(
        ErrorKind::invalid_input,
        fmt::format("{} cannot be set by a project; set it in your own config.toml", key->name));
  }
  auto value = validated(*key, assignment.value);
  if (!value) return pass_on(std::move(value));
  key->set(configuration.settings, *value);
  configuration.origins[std::string(key->name)] = assignment.where;
  return {};
}

std::string snake_case(std::string_view name) {
  std::string result;
  for (const char c : name) {
    if (c >= 'A' && c <= 'Z') {
      if (!result.empty() && result.back() != '.') result += '_';
      result += static_cast<char>(c - 'A' + 'a');
    } else {
      result += c;
    }
  }
  return result;
}

std::optional<SettingValue> json_list(const nlohmann::json& value) {
  const auto all = [&value](auto is_kind) {
    return std::all_of(value.begin(), value.end(), is_kind);
  };
  if (all([](const auto& item) { return item.is_string(); })) {
    return SettingValue(value.get<std::vector<std::string>>());
  }
  if (all([](const auto& item) { return item.is_number_integer(); })) {
    return SettingValue(value.get<std::vector<std::int64_t>>());
  }
  return std::nullopt;
}

std::optional<SettingValue> json_value(const nlohmann::json& value) {
  if (value.is_boolean()) return SettingValue(value.get<bool>());
  if (value.is_number_integer()) return SettingValue(value.get<std::int64_t>());
  if (value.is_number_float()) return SettingValue(value.get<double>());
  if (value.is_string()) return SettingValue(value.get<std::string>());
  if (value.is_array()) return json_list(value);
  return std::nullopt;
}

/// Lua has one empty table, which its encoders write as an empty list.
bool is_empty_section(const nlohmann::json& value, std::string_view name) {
  if (!value.is_array() || !value.empty()) return false;
  return name.empty() || name == "caretd" || std::ranges::any_of(all_keys(), [&](const Key& key) {
           return key.name.starts_with(name) && key.name.substr(name.size()).starts_with('.');
         });
}

/// The deepest name is "section.key"; what nests deeper is reported as the unknown key it is.
constexpr int kDeepestSection = 4;

void collect_json(const nlohmann::json& value, const std::string& prefix, int depth,
                  const std::string& place, SettingsLayer& into) {
  for (const auto& [name, item] : value.items()) {
    const std::string key = prefix.empty() ? snake_case(name) : prefix + '.' + snake_case(name);
    if (item.is_null() || is_empty_section(item, key)) continue;
    if (item.is_object() && depth < kDeepestSection) {
      collect_json(item, key, depth + 1, place, into);
    } else if (auto setting = json_value(item)) {
      into.assignments.push_back({key, *std::move(setting), place});
    } else {
      const Key* known = find_key(key);
      into.problems.push_back(
          fmt::format("{}: {}", place,
                      known == nullptr ? unknown_key(key)
                                       : fmt::format("{} must be {}", key, expectation(*known))));
    }
  }
}

}  // namespace

std::string Configuration::origin(std::string_view key) const {
  const auto found = origins.find(key);
  return found == origins.end() ? "default" : found->second;
}

Configuration resolve(std::span<const SettingsLayer> layers) {
  std::vector<const SettingsLayer*> ordered;
  for (const SettingsLayer& layer : layers) ordered.push_back(&layer);
  std::stable_sort(ordered.begin(), ordered.end(),
                   [](const auto* a, const auto* b) { return a->layer < b->layer; });
  Configuration configuration;
  for (const SettingsLayer* layer : ordered) {
    configuration.problems.insert(configuration.problems.end(), layer->problems.begin(),
                                  layer->problems.end());
    for (const Assignment& assignment : layer->assignments) {
      auto done = assign(configuration, layer->layer, assignment);
      if (!done) configuration.problems.push_back(assignment.where + ": " + done.error().message);
    }
  }
  return configuration;
}

SettingsLayer read_environment(const Environment& environment) {
  SettingsLayer layer{Layer::environment, {}, {}};
  for (auto variable = environment.lower_bound(std::string(kEnvironmentPrefix));
       variable != environment.end() && variable->first.starts_with(kEnvironmentPrefix);
       ++variable) {
    const auto& [name, text] = *variable;
    const auto keys = all_keys();
    const auto key = std::find_if(keys.begin(), keys.end(), [&name = name](const Key& candidate) {
      return environment_name(candidate) == name;
    });
    if (key == keys.end()) {
      layer.problems.push_back(name + ": no setting has this environment variable");
      continue;
    }
    auto value = parse_value(*key, text);
    if (value) {
      layer.assignments.push_back({std::string(key->name), *std::move(value), name});
    } else {
      layer.problems.push_back(name + ": " + value.error().message);
    }
  }
  return layer;
}

SettingsLayer read_json_settings(Layer layer, const nlohmann::json& value,
                                 const std::string& place) {
  SettingsLayer result{layer, {}, {}};
  if (value.is_null() || is_empty_section(value, "")) return result;
  if (!value.is_object()) {
    result.problems.push_back(place + ": settings must be an object");
    return result;
  }
  const bool wrapped = value.size() == 1 && value.contains("caretd") && value["caretd"].is_object();
  collect_json(wrapped ? value["caretd"] : value, "", 1, place, result);
  return result;
}

SettingsLayer read_overrides(const std::vector<std::string>& words) {
  SettingsLayer layer{Layer::command_line, {}, {}};
  for (const std::string& word : words) {
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const Key* key = find_key(name);
    if (equals == std::string::npos || key == nullptr) {
      // What is behind the name may be a secret.
      layer.problems.push_back(
          "--set " + name + ": " +
          (equals == std::string::npos ? "write KEY=VALUE" : unknown_key(name)));
      continue;
    }
    auto value = parse_value(*key, std::string_view(word).substr(equals + 1));
    if (value) {
      layer.assignments.push_back({name, *std::move(value), "--set"});
    } else {
      layer.problems.push_back("--set " + name + ": " + value.error().message);
    }
  }
  return layer;
}

void make_paths_absolute(std::vector<std::string>& words, Environment& environment,
                         const std::filesystem::path& folder) {
  const auto absolute = [&folder](const std::string& path) {
    return path.empty() ? path : (folder / path).lexically_normal().string();
  };
  for (std::string& word : words) {
    const size_t equals = word.find('=');
    if (equals == std::string::npos) continue;
    const Key* key = find_key(std::string_view(word).substr(0, equals));
    if (key == nullptr || !key->path) continue;
    word = word.substr(0, equals + 1) + absolute(word.substr(equals + 1));
  }
  for (const Key& key : all_keys()) {
    const auto variable = key.path ? environment.find(environment_name(key)) : environment.end();
    if (variable != environment.end()) variable->second = absolute(variable->second);
  }
}

std::filesystem::path user_config_file(const UserFolders& folders) {
  return folders.config / "config.toml";
}

}  // namespace caretd::daemon
