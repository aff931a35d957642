// The words of tier and region claims. Pure. Thread: any.
#ifndef VALVECHAIN_API_FRONT_CLAIMS_H
#define VALVECHAIN_API_FRONT_CLAIMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// "free", "premium", "enterprise" in any case. False: none of them.
bool claim_tier(const char *text, size_t len, uint32_t *ret_tier);
// "us-east", "us-west", "europe", "asia" in any case, '_' and ' ' as good as '-'.
bool claim_region(const char *text, size_t len, uint32_t *ret_region);

#endif
