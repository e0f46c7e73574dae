#include "tests/helpers/reference_model.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>

namespace caretd::test {

namespace {

std::size_t index(int i) {
  return static_cast<std::size_t>(i);
}

void add(std::vector<double>& to, const std::vector<double>& x, double factor = 1.0) {
  for (std::size_t i = 0; i < x.size(); ++i) to[i] += factor * x[i];
}

void softmax(std::vector<double>& values) {
  const double largest = *std::max_element(values.begin(), values.end());
  double sum = 0;
  for (double& value : values) sum += value = std::exp(value - largest);
  for (double& value : values) value /= sum;
}

/// Indices of the `count` largest values, largest first, equal ones by index.
std::vector<std::size_t> largest(const std::vector<double>& values, int count) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return values[a] > values[b]; });
  order.resize(index(count));
  return order;
}

}  // namespace

ReferenceModel::Matrix ReferenceModel::to_matrix(const engine::MatrixView& view) {
  Matrix matrix;
  std::vector<float> row(static_cast<std::size_t>(view.cols));
  for (std::int64_t r = 0; r < view.rows; ++r) {
    engine::dequantize_row(view, r, row);
    matrix.rows.emplace_back(row.begin(), row.end());
  }
  return matrix;
}

ReferenceModel::Mlp ReferenceModel::to_mlp(const engine::MlpWeights& weights) {
  if (weights.gate.empty()) return {};
  return {to_matrix(weights.gate), to_matrix(weights.up), to_matrix(weights.down)};
}

ReferenceModel::Vector ReferenceModel::to_vector(const engine::VectorView& view) {
  if (view.empty()) return {};
  const std::vector<float> values = engine::to_float(view);
  return {values.begin(), values.end()};
}

ReferenceModel::Vector ReferenceModel::Matrix::times(const Vector& x) const {
  Vector result;
  for (const Vector& row : rows) {
    result.push_back(std::inner_product(row.begin(), row.end(), x.begin(), 0.0));
  }
  return result;
}

ReferenceModel::Vector ReferenceModel::Mlp::apply(const Vector& x) const {
  Vector activation = gate.times(x);
  const Vector factor = up.times(x);
  for (std::size_t i = 0; i < activation.size(); ++i) {
    activation[i] = activation[i] / (1.0 + std::exp(-activation[i])) * factor[i];
  }
  return down.times(activation);
}

ReferenceModel::ReferenceModel(const engine::Checkpoint& checkpoint)
    : config_(checkpoint.config()),
      inverse_frequencies_(engine::rope_inverse_frequencies(config_)),
      embedding_(to_matrix(checkpoint.weights().embedding)),
      head_(to_matrix(checkpoint.weights().head)),
      final_norm_(to_vector(checkpoint.weights().final_norm)) {
  for (const engine::LayerWeights& from : checkpoint.weights().layers) {
    const engine::AttentionWeights& attention = from.attention;
    Layer layer;
    layer.input_norm = to_vector(attention.input_norm);
    layer.q_a_norm = to_vector(attention.q_a_norm);
    layer.kv_a_norm = to_vector(attention.kv_a_norm);
    layer.ffn_norm = to_vector(from.ffn_norm);
    if (config_.q_lora_rank > 0) {
      layer.q_a = to_matrix(attention.q_a);
      layer.q_b = to_matrix(attention.q_b);
    } else {
      layer.q = to_matrix(attention.q);
    }
    layer.kv_a = to_matrix(attention.kv_a);
    layer.kv_b = to_matrix(attention.kv_b);
    layer.o = to_matrix(attention.o);
    if (!from.router.empty()) layer.router = to_matrix(from.router);
    layer.dense = to_mlp(from.dense);
    layer.shared = to_mlp(from.shared);
    for (const engine::MlpWeights& expert : from.experts) layer.experts.push_back(to_mlp(expert));
    layers_.push_back(std::move(layer));
  }
}

ReferenceModel::Vector ReferenceModel::normalized(const Vector& x, const Vector& weight) const {
  const double squares = std::inner_product(x.begin(), x.end(), x.begin(), 0.0);
  const double factor =
      1.0 / std::sqrt(squares / static_cast<double>(x.size()) + config_.rms_norm_eps);
  Vector result(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) result[i] = x[i] * factor * weight[i];
  return result;
}

void ReferenceModel::rotate(double* pairs, int position) const {
  for (std::size_t i = 0; i < inverse_frequencies_.size(); ++i) {
    const double angle = position * inverse_frequencies_[i];
    const double cosine = std::cos(angle) * config_.rope_multiplier();
    const double sine = std::sin(angle) * config_.rope_multiplier();
    const double x = pairs[2 * i];
    const double y = pairs[2 * i + 1];
    pairs[2 * i] = x * cosine - y * sine;
    pairs[2 * i + 1] = x * sine + y * cosine;
  }
}

std::vector<ReferenceModel::Vector> ReferenceModel::attention(
    const Layer& layer, const std::vector<Vector>& inputs) const {
  const auto nope = index(config_.qk_nope_head_dim);
  const auto rope = index(config_.qk_rope_head_dim);
  const auto value_size = index(config_.v_head_dim);
  std::vector<Vector> queries, rotary_keys, expanded, outputs;
  for (std::size_t t = 0; t < inputs.size(); ++t) {
    const int position = static_cast<int>(t);
    Vector q = config_.q_lora_rank > 0
                   ? layer.q_b.times(normalized(layer.q_a.times(inputs[t]), layer.q_a_norm))
                   : layer.q.times(inputs[t]);
    for (int head = 0; head < config_.heads; ++head) {
      rotate(q.data() + index(head) * (nope + rope) + nope, position);
    }
    Vector latent = layer.kv_a.times(inputs[t]);
    Vector rotary(latent.end() - static_cast<std::ptrdiff_t>(rope), latent.end());
    latent.resize(latent.size() - rope);
    rotate(rotary.data(), position);
    queries.push_back(std::move(q));
    rotary_keys.push_back(std::move(rotary));
    expanded.push_back(layer.kv_b.times(normalized(latent, layer.kv_a_norm)));
  }
  for (std::size_t t = 0; t < inputs.size(); ++t) {
    Vector values;
    for (std::size_t head = 0; head < index(config_.heads); ++head) {
      const double* q = queries[t].data() + head * (nope + rope);
      Vector weights;
      for (std::size_t s = 0; s <= t; ++s) {
        const double* key = expanded[s].data() + head * (nope + value_size);
        const double score =
            std::inner_product(q, q + nope, key, 0.0) +
            std::inner_product(q + nope, q + nope + rope, rotary_keys[s].begin(), 0.0);
        weights.push_back(score * config_.softmax_scale());
      }
      softmax(weights);
      Vector value(value_size);
      for (std::size_t s = 0; s <= t; ++s) {
        const double* from = expanded[s].data() + head * (nope + value_size) + nope;
        add(value, Vector(from, from + value_size), weights[s]);
      }
      values.insert(values.end(), value.begin(), value.end());
    }
    outputs.push_back(layer.o.times(values));
  }
  return outputs;
}

std::vector<double> ReferenceModel::expert_weights(Vector logits) const {
  softmax(logits);
  Vector eligible = logits;
  if (config_.routing == engine::RoutingMethod::group_limited_greedy) {
    const std::size_t size = logits.size() / index(config_.expert_groups);
    Vector groups;
    for (std::size_t g = 0; g < index(config_.expert_groups); ++g) {
      const double* first = logits.data() + g * size;
      groups.push_back(*std::max_element(first, first + size));
    }
    eligible.assign(logits.size(), 0.0);
    for (const std::size_t g : largest(groups, config_.groups_per_token)) {
      std::copy_n(logits.begin() + static_cast<std::ptrdiff_t>(g * size), size,
                  eligible.begin() + static_cast<std::ptrdiff_t>(g * size));
    }
  }
  Vector weights(logits.size());
  double sum = 0;
  for (const std::size_t e : largest(eligible, config_.experts_per_token)) {
    sum += weights[e] = logits[e];
  }
  for (double& weight : weights) {
    weight *= static_cast<double>(config_.routed_scaling) / (config_.normalize_topk ? sum : 1.0);
  }
  return weights;
}

ReferenceModel::Vector ReferenceModel::feed_forward(const Layer& layer, bool is_moe,
                                                    const Vector& x) const {
  if (!is_moe) return layer.dense.apply(x);
  Vector result(x.size());
  if (!layer.shared.gate.rows.empty()) add(result, layer.shared.apply(x));
  const Vector weights = expert_weights(layer.router.times(x));
  for (std::size_t e = 0; e < weights.size(); ++e) {
    if (weights[e] > 0) add(result, layer.experts[e].apply(x), weights[e]);
  }
  return result;
}

std::vector<std::vector<double>> ReferenceModel::logits(
    std::span<const engine::TokenId> tokens) const {
  std::vector<Vector> x;
  for (const engine::TokenId id : tokens) x.push_back(embedding_.rows[index(id)]);
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    const Layer& layer = layers_[l];
    std::vector<Vector> inputs;
    for (const Vector& row : x) inputs.push_back(normalized(row, layer.input_norm));
    const std::vector<Vector> attended = attention(layer, inputs);
    for (std::size_t t = 0; t < x.size(); ++t) {
      add(x[t], attended[t]);
      add(x[t], feed_forward(layer, config_.is_moe_layer(static_cast<int>(l)),
                             normalized(x[t], layer.ffn_norm)));
    }
  }
  std::vector<Vector> result;
  for (const Vector& row : x) result.push_back(head_.times(normalized(row, final_norm_)));
  return result;
}

}  // namespace caretd::test
