#include "record/reject.h"

#include "record/codec.h"

namespace retort {

Json encode(const Reject& reject) {
  return {{"id", reject.id}, {"stage", reject.stage}, {"reason", reject.reason}, {"detail", reject.detail}};
}

Status decode(const Json& json, Reject& out) {
  out = Reject();
  record_detail::Reader read(json, "reject");
  read.need("id", out.id).text("stage", out.stage).need("reason", out.reason).text("detail", out.detail);
  return read.done();
}

}  // namespace retort
