#include "infer/network.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <string>

#include "base/check.h"
#include "infer/pack.h"
#include "kernels/isa.h"

namespace retort::infer {
namespace {

// Query rows that one attention task takes: a few register tiles, so that scores of long contexts still fit a cache.
constexpr int kQueryRows = 24;
// Rows below which element-wise work is not worth waking other threads for.
constexpr int kRowsForThreads = 8;

struct Layer {
  std::vector<float> attention_norm, mlp_norm;
  kernels::Matrix q, k, v, o, gate, up, down;
};

void grow(std::vector<float>& buffer, int64_t size) {
  if (buffer.size() < static_cast<size_t>(size)) buffer.resize(static_cast<size_t>(size));
}

// body(row) for all rows, over the pool where there are enough of them.
template <class Body>
void each_row(TaskPool& pool, int rows, const Body& body) {
  const int pieces = rows < kRowsForThreads ? 1 : std::min(rows / 4, pool.threads() * 2);
  pool.run(pieces, [&](int piece) {
    for (int row = static_cast<int>(int64_t{rows} * piece / pieces); row < int64_t{rows} * (piece + 1) / pieces; ++row)
      body(row);
  });
}

// Consecutive rows of one sequence.
struct Segment {
  int first = 0, count = 0;
};

std::vector<Segment> segments_of(std::span<const Row> rows) {
  std::vector<Segment> segments;
  for (int i = 0; i < static_cast<int>(rows.size()); ++i) {
    const Row& row = rows[static_cast<size_t>(i)];
    if (i > 0 && rows[static_cast<size_t>(i - 1)].cache == row.cache) {
      RETORT_CHECK(rows[static_cast<size_t>(i - 1)].position + 1 == row.position);
      ++segments.back().count;
    } else {
      segments.push_back({i, 1});
    }
  }
  return segments;
}

}  // namespace

struct Network::State {
  std::shared_ptr<const model::Weights> weights;
  std::shared_ptr<TaskPool> pool;
  int max_context = 0;
  kernels::KvShape kv;
  std::vector<float> frequencies;  // [head_dim / 2]
  std::vector<float> final_norm;
  std::vector<Layer> layers;
  kernels::Matrix head;
  int64_t matrix_bytes = 0;

  void attend(std::span<const Row> rows, const std::vector<Segment>& segments, int layer, Workspace& w) const;
};

Network::Network(std::unique_ptr<State> state) : state_(std::move(state)) {}
Network::~Network() = default;

Result<std::shared_ptr<const Network>> Network::create(std::shared_ptr<const model::Weights> weights,
                                                       std::shared_ptr<TaskPool> pool, int max_context) try {
  const model::Config& c = weights->config;
  if (max_context < 0 || max_context > c.max_context)
    return fail(Code::Invalid, "max_context {} is outside 1 to {}, the positions `{}` was trained for", max_context,
                c.max_context, weights->name);
  auto state = std::make_unique<State>();
  State& s = *state;
  s.max_context = max_context == 0 ? c.max_context : max_context;
  s.kv = {c.kv_heads, c.head_dim};
  // As transformers computes them, in fp32: the models were trained with exactly these angles.
  for (int i = 0; i < c.head_dim / 2; ++i)
    s.frequencies.push_back(
        1.0f / std::pow(static_cast<float>(c.rope_theta), static_cast<float>(2 * i) / static_cast<float>(c.head_dim)));
  s.final_norm = model::to_f32(weights->tensor("model.norm.weight"));
  for (int i = 0; i < c.layers; ++i) {
    const std::string prefix = "model.layers." + std::to_string(i) + ".";
    const auto matrix = [&](const char* name) {
      kernels::Matrix packed = pack(weights->tensor(prefix + name + ".weight"), *pool);
      s.matrix_bytes += packed.bytes();
      return packed;
    };
    s.layers.push_back({model::to_f32(weights->tensor(prefix + "input_layernorm.weight")),
                        model::to_f32(weights->tensor(prefix + "post_attention_layernorm.weight")),
                        matrix("self_attn.q_proj"), matrix("self_attn.k_proj"), matrix("self_attn.v_proj"),
                        matrix("self_attn.o_proj"), matrix("mlp.gate_proj"), matrix("mlp.up_proj"),
                        matrix("mlp.down_proj")});
  }
  s.head = pack(weights->lm_head(), *pool);
  s.matrix_bytes += s.head.bytes();
  RETORT_TRY(model::check_weights(*weights, *pool));
  s.weights = std::move(weights);
  s.pool = std::move(pool);
  return std::shared_ptr<const Network>(new Network(std::move(state)));
} catch (const std::bad_alloc&) {
  return fail(Code::Limit, "not enough memory to hold the weights of `{}`; close other programs or use a smaller model",
              weights ? weights->name : "the model");
}

KvCache Network::make_cache() const { return KvCache(state_->kv, static_cast<int>(state_->layers.size())); }
int Network::vocabulary() const { return state_->weights->config.vocab_size; }
int Network::max_context() const { return state_->max_context; }
const model::Weights& Network::weights() const { return *state_->weights; }
TaskPool& Network::pool() const { return *state_->pool; }
int64_t Network::matrix_bytes() const { return state_->matrix_bytes; }

void Network::State::attend(std::span<const Row> rows, const std::vector<Segment>& segments, int layer,
                            Workspace& w) const {
  const model::Config& c = weights->config;
  const int group = c.heads / c.kv_heads, query = c.heads * c.head_dim, qkv = query + 2 * c.kv_heads * c.head_dim;
  const int tokens_per_task = std::max(1, kQueryRows / group);
  struct Task {
    int first_row, tokens, position;
    size_t pages;  // index of the sequence's first page in `pages`
    size_t page_count;
  };
  std::vector<const float*> pages;
  std::vector<Task> tasks;
  for (const Segment& segment : segments) {
    const Row& first = rows[static_cast<size_t>(segment.first)];
    const size_t at = pages.size();
    for (int page = 0; page < first.cache->pages(); ++page) pages.push_back(first.cache->layer(page, layer));
    for (int done = 0; done < segment.count; done += tokens_per_task)
      tasks.push_back({segment.first + done, std::min(tokens_per_task, segment.count - done), first.position + done, at,
                       pages.size() - at});
  }
  pool->run(static_cast<int>(tasks.size()) * c.kv_heads, [&](int index) {
    const Task& task = tasks[static_cast<size_t>(index / c.kv_heads)];
    const int kv_head = index % c.kv_heads;
    kernels::attend(kv, std::span(pages).subspan(task.pages, task.page_count), kv_head, group, task.position,
                    task.tokens, w.qkv.data() + int64_t{task.first_row} * qkv + kv_head * group * c.head_dim, qkv,
                    w.attended.data() + int64_t{task.first_row} * query + kv_head * group * c.head_dim, query);
  });
}

std::span<const float> Network::forward(std::span<const Row> rows, Workspace& w) const {
  const State& s = *state_;
  const model::Config& c = s.weights->config;
  const kernels::Isa& kernels = kernels::isa();
  const int m = static_cast<int>(rows.size()), d = c.hidden_size, half = c.head_dim / 2;
  const int query = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim, qkv = query + 2 * kv;
  if (m == 0) return {};
  const auto segments = segments_of(rows);
  grow(w.hidden, int64_t{m} * d);
  grow(w.normed, int64_t{m} * d);
  grow(w.delta, int64_t{m} * d);
  grow(w.qkv, int64_t{m} * qkv);
  grow(w.attended, int64_t{m} * query);
  grow(w.gate_up, int64_t{m} * 2 * c.ffn_size);
  grow(w.cosine, int64_t{m} * half);
  grow(w.sine, int64_t{m} * half);
  TaskPool& pool = *s.pool;
  const float eps = static_cast<float>(c.rms_eps);
  const model::Tensor& embedding = s.weights->tensor("model.embed_tokens.weight");

  each_row(pool, m, [&](int row) {
    const Row& r = rows[static_cast<size_t>(row)];
    model::to_f32(embedding, r.id, 1, w.hidden.data() + int64_t{row} * d);
    for (int i = 0; i < half; ++i) {
      const float angle = static_cast<float>(r.position) * s.frequencies[static_cast<size_t>(i)];
      w.cosine[static_cast<size_t>(int64_t{row} * half + i)] = static_cast<float>(std::cos(static_cast<double>(angle)));
      w.sine[static_cast<size_t>(int64_t{row} * half + i)] = static_cast<float>(std::sin(static_cast<double>(angle)));
    }
  });
  // Adds the last block's output (not before the first) and normalises for the next.
  const auto add_and_norm = [&](bool add, const std::vector<float>& norm) {
    each_row(pool, m, [&](int row) {
      float* x = w.hidden.data() + int64_t{row} * d;
      if (add) kernels.add(x, w.delta.data() + int64_t{row} * d, d);
      kernels.rms_norm(x, norm.data(), d, eps, w.normed.data() + int64_t{row} * d);
    });
  };

  for (int l = 0; l < c.layers; ++l) {
    const Layer& layer = s.layers[static_cast<size_t>(l)];
    add_and_norm(l > 0, layer.attention_norm);
    const kernels::Product to_qkv[] = {{&layer.q, w.qkv.data(), qkv},
                                       {&layer.k, w.qkv.data() + query, qkv},
                                       {&layer.v, w.qkv.data() + query + kv, qkv}};
    kernels::linear(pool, w.normed.data(), d, m, to_qkv, w.activations);
    each_row(pool, m, [&](int row) {
      const Row& r = rows[static_cast<size_t>(row)];
      float* x = w.qkv.data() + int64_t{row} * qkv;
      const float* cosine = w.cosine.data() + int64_t{row} * half;
      const float* sine = w.sine.data() + int64_t{row} * half;
      for (int head = 0; head < c.heads + c.kv_heads; ++head) kernels.rope(x + head * c.head_dim, cosine, sine, half);
      float* page = r.cache->layer(r.position / kernels::kPagePositions, l);
      for (int head = 0; head < c.kv_heads; ++head)
        kernels::put_kv(s.kv, page, head, r.position % kernels::kPagePositions, x + query + head * c.head_dim,
                        x + query + kv + head * c.head_dim);
    });
    s.attend(rows, segments, l, w);
    const kernels::Product to_hidden[] = {{&layer.o, w.delta.data(), d}};
    kernels::linear(pool, w.attended.data(), query, m, to_hidden, w.activations);

    add_and_norm(true, layer.mlp_norm);
    const int ffn = c.ffn_size;
    const kernels::Product to_mlp[] = {{&layer.gate, w.gate_up.data(), 2 * ffn},
                                       {&layer.up, w.gate_up.data() + ffn, 2 * ffn}};
    kernels::linear(pool, w.normed.data(), d, m, to_mlp, w.activations);
    each_row(pool, m, [&](int row) {
      float* gate = w.gate_up.data() + int64_t{row} * 2 * ffn;
      kernels.silu_mul(gate, gate + ffn, ffn, gate);
    });
    const kernels::Product from_mlp[] = {{&layer.down, w.delta.data(), d}};
    kernels::linear(pool, w.gate_up.data(), 2 * ffn, m, from_mlp, w.activations);
  }

  // The head sees only the rows that want logits, moved together.
  int wanting = 0;
  for (int row = 0; row < m; ++row) {
    if (!rows[static_cast<size_t>(row)].wants_logits) continue;
    float* x = w.hidden.data() + int64_t{row} * d;
    kernels.add(x, w.delta.data() + int64_t{row} * d, d);
    kernels.rms_norm(x, s.final_norm.data(), d, eps, w.normed.data() + int64_t{wanting++} * d);
  }
  if (wanting == 0) return {};
  const int64_t vocabulary = c.vocab_size;
  grow(w.logits, wanting * vocabulary);
  const kernels::Product to_logits[] = {{&s.head, w.logits.data(), vocabulary}};
  kernels::linear(pool, w.normed.data(), d, wanting, to_logits, w.activations);
  return {w.logits.data(), static_cast<size_t>(wanting * vocabulary)};
}

}  // namespace retort::infer
