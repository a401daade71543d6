// The versions that exist; each is one thin file isa_<name>.cc. Only isa.cc and tests need this.
#pragma once

#include "kernels/isa.h"

namespace retort::kernels {

const Isa& scalar_isa();
const Isa& avx2_isa();     // AVX2, FMA, F16C
const Isa& avx512_isa();   // AVX-512 as of Ice Lake, with VNNI
const Isa& neon_isa();     // NEON, on every aarch64
const Isa& dotprod_isa();  // and the dot-product extension

}  // namespace retort::kernels
