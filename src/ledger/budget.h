// Budget: the arithmetic of a cap that is never passed. Money is reserved for the worst case before a request is sent
// and given back, in part, when the bill is known. In memory only: the attempt log holds the same figures durably.
#pragma once

#include <algorithm>

#include "base/check.h"
#include "base/money.h"

namespace retort::ledger {

class Budget {
 public:
  // `spent`: charged and possibly charged by earlier runs.
  Budget(UsdMicros cap, UsdMicros spent) : cap_(cap), spent_(spent) {}

  // True, and reserved, where spent + reserved + `amount` stays within the cap.
  bool reserve(UsdMicros amount) {
    RETORT_CHECK(amount >= 0);
    if (spent_ + reserved_ + amount > cap_) return false;
    reserved_ += amount;
    return true;
  }
  // Ends a reservation: `charged` of it was, or may have been, spent. A peer that bills more than the worst case it was
  // asked for is booked as it bills.
  void settle(UsdMicros reserved, UsdMicros charged) {
    RETORT_CHECK(reserved >= 0 && reserved <= reserved_ && charged >= 0);
    reserved_ -= reserved;
    spent_ += charged;
  }

  UsdMicros cap() const { return cap_; }
  UsdMicros spent() const { return spent_; }
  UsdMicros reserved() const { return reserved_; }

 private:
  UsdMicros cap_, spent_;
  UsdMicros reserved_ = 0;
};

}  // namespace retort::ledger
