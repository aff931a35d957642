// Checks and verdicts between their bytes and ours. A generic walk over descriptors, an allocation
// a text and a copy each cost more than the decision; test_check_wire.c and fuzz_check.c hold every
// field against what protobuf-c makes of it. Thread: any.
#ifndef VALVECHAIN_LIMITER_CHECK_WIRE_H
#define VALVECHAIN_LIMITER_CHECK_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "limit/policy_set.h"
#include "net/wire.h"
#include "refund_token.h"
#include "valvechain/v1/valvechain.pb-c.h"

struct check_text { // points into the message
    const char *text;
    size_t len;
};
struct check_request { // a LimitCheck
    struct check_text client, subject, api_key, path, method, tier, region, host;
    uint32_t cost;
    bool peek, refundable, explain;
};

// False: the bytes are no LimitCheck. What a newer asker adds is passed over.
bool check_wire_read(const void *bytes, size_t len, struct check_request *ret_request);
// -EPROTO: no LimitCheckBatch, or one of its checks is none; -E2BIG: more than `cap` checks.
int check_wire_read_batch(const void *bytes, size_t len, struct check_request *ret_requests,
                          size_t cap, size_t *ret_n);
// Where check number `index` of such a batch stands. False: it has not so many.
bool check_wire_find_of_batch(const void *bytes, size_t len, size_t index,
                              struct check_text *ret_check);
// The number of the first check that is no LimitCheck. False: all that can be read are.
bool check_wire_find_bad(const void *bytes, size_t len, size_t *ret_index);
// The tokens of a LimitRefund; errors as above.
int check_wire_read_refund(const void *bytes, size_t len, struct check_text *ret_tokens, size_t cap,
                           size_t *ret_n);

// Of the longest verdict: texts of a policy and of an error in its bounds, a token, all parts.
#define CHECK_ERROR_MAX 255
#define CHECK_PART_MAX  (2 + LIMIT_NAME_MAX + 2 * 2 + 4 * (1 + WIRE_VARINT_MAX))
#define CHECK_VERDICT_MAX                                                                          \
    (2 + (3 + CHECK_ERROR_MAX) + (2 + LIMIT_NAME_MAX) + 5 * (1 + WIRE_VARINT_MAX) +                \
     (3 + REFUND_TOKEN_MAX) + LIMIT_MATCHED_MAX * (2 + CHECK_PART_MAX))
// Writes what protobuf-c would, and returns how much.
size_t check_wire_put_verdict(const Valvechain__V1__LimitVerdict *verdict,
                              uint8_t out[CHECK_VERDICT_MAX]);

#endif
