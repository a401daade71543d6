#include "train/torch/ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <ATen/Parallel.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include "train/torch/loops.h"

// The BLAS inside libtorch, for attention's small strided products; runs on one thread inside a parallel region.
extern "C" void sgemm_(const char* transpose_a, const char* transpose_b, const int* m, const int* n, const int* k,
                       const float* alpha, const float* a, const int* lda, const float* b, const int* ldb,
                       const float* beta, float* c, const int* ldc);

namespace retort::train {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

constexpr int64_t kRowGrain = 16;     // rows a thread takes at least
constexpr int64_t kQueryBlock = 128;  // query rows of attention at a time
constexpr int64_t kReduceParts = 16;  // partial sums of a column reduction, fixed so that thread counts do not matter

// C[m, n] = alpha * op(A) op(B) + beta * C, row-major, by the column-major sgemm of the transposed problem.
void gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float* a, int64_t lda, const float* b,
          int64_t ldb, float beta, float* c, int64_t ldc) {
  const char fa = ta ? 'T' : 'N', fb = tb ? 'T' : 'N';
  const int im = static_cast<int>(m), in = static_cast<int>(n), ik = static_cast<int>(k);
  const int ia = static_cast<int>(lda), ib = static_cast<int>(ldb), ic = static_cast<int>(ldc);
  sgemm_(&fb, &fa, &in, &im, &ik, &alpha, b, &ib, a, &ia, &beta, c, &ic);
}

const float* data(const Tensor& t) { return t.const_data_ptr<float>(); }
float* mutable_data(const Tensor& t) { return t.mutable_data_ptr<float>(); }
Tensor floats(at::IntArrayRef sizes) { return at::empty(sizes, at::TensorOptions().dtype(at::kFloat)); }

template <class T>
int64_t pack(const T& object) {
  return reinterpret_cast<int64_t>(&object);
}
template <class T>
const T& unpack(AutogradContext* ctx, const char* key) {
  return *reinterpret_cast<const T*>(ctx->saved_data.at(key).toInt());
}

struct EmbedOp : Function<EmbedOp> {
  static Tensor forward(AutogradContext* ctx, const Tensor&, const Weight* table, const std::vector<int32_t>* ids) {
    ctx->saved_data["table"] = pack(*table);
    ctx->saved_data["ids"] = pack(*ids);
    const int64_t hidden = table->value.size(1), tokens = static_cast<int64_t>(ids->size());
    Tensor out = floats({tokens, hidden});
    const float* from = data(table->value);
    float* to = mutable_data(out);
    for (int64_t i = 0; i < tokens; ++i)
      std::memcpy(to + i * hidden, from + (*ids)[static_cast<size_t>(i)] * hidden,
                  static_cast<size_t>(hidden) * sizeof(float));
    return out;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto& table = unpack<Weight>(ctx, "table");
    const auto& ids = unpack<std::vector<int32_t>>(ctx, "ids");
    if (table.grad.defined()) {
      const Tensor g = grads[0].contiguous();
      const int64_t hidden = g.size(1);
      float* into = mutable_data(table.grad);
      for (size_t i = 0; i < ids.size(); ++i) {
        const float* from = data(g) + static_cast<int64_t>(i) * hidden;
        float* to = into + ids[i] * hidden;
        for (int64_t j = 0; j < hidden; ++j) to[j] += from[j];
      }
    }
    return {Tensor(), Tensor(), Tensor()};
  }
};

struct NormOp : Function<NormOp> {
  static Tensor forward(AutogradContext* ctx, const Tensor&, const Tensor& x, const Weight* weight, double eps) {
    const int64_t rows = x.size(0), cols = x.size(1);
    Tensor y = floats({rows, cols}), inverse = floats({rows});
    at::parallel_for(0, rows, kRowGrain, [&](int64_t b, int64_t e) {
      loops::rms_norm(data(x), data(weight->value), mutable_data(y), mutable_data(inverse), b, e, cols,
                      static_cast<float>(eps));
    });
    ctx->save_for_backward({x, inverse});
    ctx->saved_data["weight"] = pack(*weight);
    return y;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &inverse = saved[1], dy = grads[0].contiguous();
    const auto& weight = unpack<Weight>(ctx, "weight");
    const int64_t rows = x.size(0), cols = x.size(1), part = (rows + kReduceParts - 1) / kReduceParts;
    const bool wanted = weight.grad.defined();
    Tensor dx = floats({rows, cols}), dw;
    if (wanted) dw = at::zeros({kReduceParts, cols}, at::TensorOptions().dtype(at::kFloat));
    at::parallel_for(0, kReduceParts, 1, [&](int64_t first, int64_t last) {
      for (int64_t p = first; p < last; ++p)
        loops::rms_norm_backward(data(dy), data(x), data(weight.value), data(inverse), mutable_data(dx),
                                 wanted ? mutable_data(dw) + p * cols : nullptr, std::min(rows, p * part),
                                 std::min(rows, (p + 1) * part), cols);
    });
    if (wanted) {
      float* into = mutable_data(weight.grad);
      for (int64_t p = 0; p < kReduceParts; ++p)
        for (int64_t i = 0; i < cols; ++i) into[i] += data(dw)[p * cols + i];
    }
    return {Tensor(), dx, Tensor(), Tensor()};
  }
};

struct LinearOp : Function<LinearOp> {
  static Tensor forward(AutogradContext* ctx, const Tensor&, const Tensor& x, const Linear* w, const Tensor& residual,
                        bool add) {
    Tensor y = add ? at::addmm(residual, x, w->weight.value.t()) : at::mm(x, w->weight.value.t());
    variable_list save = {x};
    for (const Adapter& adapter : w->adapters) {
      const Tensor u = at::mm(x, adapter.a.value.t());
      y.narrow(1, adapter.row, adapter.b.value.size(0)).addmm_(u, adapter.b.value.t(), 1, adapter.scale);
      save.push_back(u);
    }
    ctx->save_for_backward(std::move(save));
    ctx->saved_data["w"] = pack(*w);
    ctx->saved_data["add"] = add;
    return y;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &dy = grads[0];
    const auto& w = unpack<Linear>(ctx, "w");
    if (w.weight.grad.defined()) {
      Tensor into = w.weight.grad;
      into.addmm_(dy.t(), x);
    }
    Tensor dx;
    const bool wanted = ctx->needs_input_grad(1);
    if (wanted) dx = at::mm(dy, w.weight.value);
    for (size_t i = 0; i < w.adapters.size(); ++i) {
      const Adapter& adapter = w.adapters[i];
      const Tensor g = dy.narrow(1, adapter.row, adapter.b.value.size(0));
      Tensor da = adapter.a.grad, db = adapter.b.grad;
      db.addmm_(g.t(), saved[i + 1], 1, adapter.scale);
      const Tensor du = at::mm(g, adapter.b.value);
      da.addmm_(du.t(), x, 1, adapter.scale);
      if (wanted) dx.addmm_(du, adapter.a.value, 1, adapter.scale);
    }
    return {Tensor(), dx, Tensor(), ctx->saved_data.at("add").toBool() ? dy : Tensor(), Tensor()};
  }
};

// One (segment, key-value head) of attention: pointers into rows of length `stride`.
struct Group {
  int64_t start, length, head;  // head: of keys and values
};
std::vector<Group> groups(const Segments& s) {
  std::vector<Group> all;
  for (size_t i = 0; i + 1 < s.starts.size(); ++i)
    for (int64_t h = 0; h < s.kv_heads; ++h) all.push_back({s.starts[i], s.starts[i + 1] - s.starts[i], h});
  return all;
}

// Rotates the q and k parts of qkv's rows [begin, end) from x into y (v is copied), by +1 or back by -1.
void rotate(const float* x, float* y, const Segments& s, const std::vector<int32_t>& positions, int64_t begin,
            int64_t end, float sign) {
  const int64_t half = s.head_dim / 2, turned = s.heads + s.kv_heads, stride = (s.heads + 2 * s.kv_heads) * s.head_dim;
  for (int64_t row = begin; row < end; ++row) {
    const int64_t at = positions[static_cast<size_t>(row)] * half;
    loops::rope(x + row * stride, y + row * stride, s.cosine + at, s.sine + at, turned, s.head_dim, sign);
    if (x != y)
      std::memcpy(y + row * stride + turned * s.head_dim, x + row * stride + turned * s.head_dim,
                  static_cast<size_t>(s.kv_heads * s.head_dim) * sizeof(float));
  }
}

std::vector<int32_t> positions(const Segments& s) {
  std::vector<int32_t> out(static_cast<size_t>(s.starts.back()));
  for (size_t i = 0; i + 1 < s.starts.size(); ++i)
    for (int32_t t = s.starts[i]; t < s.starts[i + 1]; ++t) out[static_cast<size_t>(t)] = t - s.starts[i];
  return out;
}

int64_t longest(const Segments& s) {
  int64_t most = 0;
  for (size_t i = 0; i + 1 < s.starts.size(); ++i) most = std::max<int64_t>(most, s.starts[i + 1] - s.starts[i]);
  return most;
}

struct AttentionOp : Function<AttentionOp> {
  static Tensor forward(AutogradContext* ctx, const Tensor& qkv, const Segments* segments) {
    const Segments& s = *segments;
    const int64_t tokens = qkv.size(0), stride = qkv.size(1), width = s.heads * s.head_dim, d = s.head_dim;
    const auto at = positions(s);
    Tensor turned = floats({tokens, stride}), out = floats({tokens, width}), lse = floats({tokens, s.heads});
    at::parallel_for(0, tokens, kRowGrain,
                     [&](int64_t b, int64_t e) { rotate(data(qkv), mutable_data(turned), s, at, b, e, 1.0f); });
    const auto work = groups(s);
    const int64_t shared = s.heads / s.kv_heads, most = longest(s);
    const int64_t block = std::min(kQueryBlock, most);
    Tensor scratch = floats({at::get_num_threads(), block * most});
    const float scale = 1.0f / std::sqrt(static_cast<float>(d));
    const float* base = data(turned);
    float *o = mutable_data(out), *l = mutable_data(lse);
    at::parallel_for(0, static_cast<int64_t>(work.size()), 1, [&](int64_t first, int64_t last) {
      float* scores = mutable_data(scratch) + at::get_thread_num() * block * most;
      for (int64_t w = first; w < last; ++w) {
        const Group& g = work[static_cast<size_t>(w)];
        const float* k = base + g.start * stride + (s.heads + g.head) * d;
        const float* v = k + s.kv_heads * d;
        for (int64_t h = g.head * shared; h < (g.head + 1) * shared; ++h)
          for (int64_t from = 0; from < g.length; from += block) {
            const int64_t rows = std::min(block, g.length - from), keys = from + rows;
            gemm(false, true, rows, keys, d, 1.0f, base + (g.start + from) * stride + h * d, stride, k, stride, 0.0f,
                 scores, keys);
            for (int64_t r = 0; r < rows; ++r)
              l[(g.start + from + r) * s.heads + h] = loops::softmax(scores + r * keys, from + r + 1, keys, scale);
            gemm(false, false, rows, d, keys, 1.0f, scores, keys, v, stride, 0.0f, o + (g.start + from) * width + h * d,
                 width);
          }
      }
    });
    ctx->save_for_backward({turned, out, lse});
    ctx->saved_data["segments"] = pack(s);
    return out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &turned = saved[0], &out = saved[1], &lse = saved[2], dout = grads[0].contiguous();
    const auto& s = unpack<Segments>(ctx, "segments");
    const int64_t tokens = turned.size(0), stride = turned.size(1), width = s.heads * s.head_dim, d = s.head_dim;
    const auto work = groups(s);
    const int64_t shared = s.heads / s.kv_heads, most = longest(s), block = std::min(kQueryBlock, most);
    Tensor dqkv = floats({tokens, stride}), scratch = floats({at::get_num_threads(), 2 * block * most});
    const float scale = 1.0f / std::sqrt(static_cast<float>(d));
    const float *base = data(turned), *o = data(out), *l = data(lse), *go = data(dout);
    float* grad = mutable_data(dqkv);
    at::parallel_for(0, static_cast<int64_t>(work.size()), 1, [&](int64_t first, int64_t last) {
      float* p = mutable_data(scratch) + at::get_thread_num() * 2 * block * most;
      float* dp = p + block * most;
      for (int64_t w = first; w < last; ++w) {
        const Group& g = work[static_cast<size_t>(w)];
        const int64_t k_at = g.start * stride + (s.heads + g.head) * d, v_at = k_at + s.kv_heads * d;
        for (int64_t r = 0; r < g.length; ++r) {
          std::memset(grad + k_at + r * stride, 0, static_cast<size_t>(d) * sizeof(float));
          std::memset(grad + v_at + r * stride, 0, static_cast<size_t>(d) * sizeof(float));
        }
        for (int64_t h = g.head * shared; h < (g.head + 1) * shared; ++h)
          for (int64_t from = 0; from < g.length; from += block) {
            const int64_t rows = std::min(block, g.length - from), keys = from + rows, row = g.start + from;
            const float *q = base + row * stride + h * d, *g_out = go + row * width + h * d;
            gemm(false, true, rows, keys, d, 1.0f, q, stride, base + k_at, stride, 0.0f, p, keys);
            for (int64_t r = 0; r < rows; ++r)
              loops::exp_minus(p + r * keys, from + r + 1, keys, scale, l[(row + r) * s.heads + h]);
            gemm(true, false, keys, d, rows, 1.0f, p, keys, g_out, width, 1.0f, grad + v_at, stride);
            gemm(false, true, rows, keys, d, 1.0f, g_out, width, base + v_at, stride, 0.0f, dp, keys);
            for (int64_t r = 0; r < rows; ++r) {
              const float delta = loops::dot(g_out + r * width, o + (row + r) * width + h * d, d);
              loops::softmax_backward(p + r * keys, dp + r * keys, keys, delta, scale);
            }
            gemm(false, false, rows, d, keys, 1.0f, dp, keys, base + k_at, stride, 0.0f, grad + row * stride + h * d,
                 stride);
            gemm(true, false, keys, d, rows, 1.0f, dp, keys, q, stride, 1.0f, grad + k_at, stride);
          }
      }
    });
    const auto at = positions(s);
    at::parallel_for(0, tokens, kRowGrain, [&](int64_t b, int64_t e) { rotate(grad, grad, s, at, b, e, -1.0f); });
    return {dqkv, Tensor()};
  }
};

struct SwigluOp : Function<SwigluOp> {
  static Tensor forward(AutogradContext* ctx, const Tensor& gu) {
    const int64_t rows = gu.size(0), cols = gu.size(1) / 2;
    Tensor y = floats({rows, cols});
    at::parallel_for(0, rows, kRowGrain,
                     [&](int64_t b, int64_t e) { loops::swiglu(data(gu), mutable_data(y), b, e, cols); });
    ctx->save_for_backward({gu});
    return y;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const Tensor gu = ctx->get_saved_variables()[0], dy = grads[0].contiguous();
    const int64_t rows = gu.size(0), cols = gu.size(1) / 2;
    Tensor dgu = floats({rows, 2 * cols});
    at::parallel_for(0, rows, kRowGrain, [&](int64_t b, int64_t e) {
      loops::swiglu_backward(data(dy), data(gu), mutable_data(dgu), b, e, cols);
    });
    return {dgu};
  }
};

struct HeadLossOp : Function<HeadLossOp> {
  static Tensor forward(AutogradContext* ctx, const Tensor&, const Tensor& hidden, const Weight* head,
                        const std::vector<int32_t>* targets, double scale, int64_t logit_floats, bool wanted,
                        double* raw) {
    std::vector<int64_t> rows;
    for (size_t i = 0; i < targets->size(); ++i)
      if ((*targets)[i] >= 0) rows.push_back(static_cast<int64_t>(i));
    const int64_t count = static_cast<int64_t>(rows.size()), cols = hidden.size(1), vocab = head->value.size(0);
    const int64_t chunk = std::max<int64_t>(1, std::min(count, logit_floats / vocab));
    Tensor dh;
    if (wanted) dh = at::zeros({hidden.size(0), cols}, at::TensorOptions().dtype(at::kFloat));
    std::vector<double> losses(static_cast<size_t>(count));
    for (int64_t from = 0; from < count; from += chunk) {
      const int64_t n = std::min(chunk, count - from);
      Tensor h = floats({n, cols});
      for (int64_t i = 0; i < n; ++i)
        std::memcpy(mutable_data(h) + i * cols, data(hidden) + rows[static_cast<size_t>(from + i)] * cols,
                    static_cast<size_t>(cols) * sizeof(float));
      Tensor logits = at::mm(h, head->value.t());
      float* x = mutable_data(logits);
      at::parallel_for(0, n, 1, [&](int64_t b, int64_t e) {
        for (int64_t i = b; i < e; ++i) {
          const auto at = static_cast<size_t>(from + i);
          losses[at] = loops::cross_entropy(x + i * vocab, vocab, (*targets)[static_cast<size_t>(rows[at])],
                                            static_cast<float>(scale));
        }
      });
      if (!wanted) continue;
      if (head->grad.defined()) {
        Tensor into = head->grad;
        into.addmm_(logits.t(), h);
      }
      const Tensor g = at::mm(logits, head->value);
      for (int64_t i = 0; i < n; ++i)
        std::memcpy(mutable_data(dh) + rows[static_cast<size_t>(from + i)] * cols, data(g) + i * cols,
                    static_cast<size_t>(cols) * sizeof(float));
    }
    double sum = 0;
    for (const double loss : losses) sum += loss;
    *raw = sum;
    if (wanted) ctx->saved_data["dh"] = dh;
    Tensor result = floats({});
    *mutable_data(result) = static_cast<float>(sum * scale);
    return result;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list&) {
    return {Tensor(), ctx->saved_data.at("dh").toTensor(), Tensor(), Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

Tensor embed(const Tensor& anchor, const Weight& table, const std::vector<int32_t>& ids) {
  return EmbedOp::apply(table.grad.defined() ? anchor : anchor.detach(), &table, &ids);
}

Tensor rms_norm(const Tensor& anchor, const Tensor& x, const Weight& weight, double eps) {
  return NormOp::apply(weight.grad.defined() ? anchor : anchor.detach(), x, &weight, eps);
}

Tensor linear(const Tensor& anchor, const Tensor& x, const Linear& w, const Tensor& residual) {
  const bool trains = w.weight.grad.defined() || !w.adapters.empty();
  const Tensor seed = trains ? anchor : anchor.detach();
  return LinearOp::apply(seed, x, &w, residual.defined() ? residual : anchor.detach(), residual.defined());
}

Tensor attention(const Tensor& qkv, const Segments& segments) { return AttentionOp::apply(qkv, &segments); }

Tensor swiglu(const Tensor& gate_up) { return SwigluOp::apply(gate_up); }

Tensor head_loss(const Tensor& anchor, const Tensor& hidden, const Weight& head, const std::vector<int32_t>& targets,
                 double scale, int64_t logit_floats, double& raw) {
  const bool wanted = at::GradMode::is_enabled();
  return HeadLossOp::apply(anchor, hidden, &head, &targets, scale, logit_floats, wanted, &raw);
}

}  // namespace retort::train
