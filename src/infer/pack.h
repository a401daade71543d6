// From a tensor as it lies in a file to a matrix in kernel layout, without loss: F32 and 16-bit floats keep their type,
// Q8_0, Q5_0 and Q4_0 become int8 with scales, Q5_1 and Q4_1 int8 with scales and minima.
#pragma once

#include "base/task_pool.h"
#include "kernels/matrix.h"
#include "model/tensor.h"

namespace retort::infer {

// `tensor` is [rows, k].
kernels::Matrix pack(const model::Tensor& tensor, TaskPool& pool);

}  // namespace retort::infer
