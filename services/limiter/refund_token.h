// Tokens that give charges back: what a verdict charged, sealed, so that limit.refund needs no
// memory of it and nobody can give back what was not charged. Each is good once, for a bounded
// time, in the process that made it: a restart forgets them, which leaves charges standing and no
// more. Thread: one.
#ifndef VALVECHAIN_LIMITER_REFUND_TOKEN_H
#define VALVECHAIN_LIMITER_REFUND_TOKEN_H

#include <stddef.h>
#include <stdint.h>

#include "limit/limit.h"

#define REFUND_TOKEN_MAX (40 + LIMIT_MATCHED_MAX * sizeof(struct limit_charge))
// A token is refused once this many newer ones were made.
#define REFUND_TOKENS_LIVE (UINT64_C(1) << 20)

struct refund_mint {
    uint8_t key[16];
    uint64_t last_id;
    uint64_t used[REFUND_TOKENS_LIVE / 64]; // a bit for each of the latest ids
};

void refund_mint_init(struct refund_mint *mint);
// Seals what `verdict` charged; good until `expires_ns`. Returns the token's length.
size_t refund_token_make(struct refund_mint *mint, const struct limit_verdict *verdict,
                         uint64_t expires_ns, uint8_t token[REFUND_TOKEN_MAX]);
// NULL and a verdict for limit_refund, the token now being used up; else why it is refused.
const char *refund_token_take(struct refund_mint *mint, const void *token, size_t len,
                              uint64_t now_ns, struct limit_verdict *ret_verdict);

#endif
