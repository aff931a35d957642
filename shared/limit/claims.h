// The words of tier and region claims. Pure. Thread: any.
#ifndef VALVECHAIN_LIMIT_CLAIMS_H
#define VALVECHAIN_LIMIT_CLAIMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Does the claim say `name` (which is in lower case), in any case, '_' and ' ' as good as '-'?
bool claim_is(const char *text, size_t len, const char *name);
// "us-east", "us-west", "europe", "asia" in any case, '_' and ' ' as good as '-'.
bool claim_region(const char *text, size_t len, uint32_t *ret_region);

#endif
