// Distributed policies, as those who decide by them see them: what to ask the limiter for, and how
// to go on with its answer. limit_decide says `asks` when some charge wants something:
//
//   LIMIT_ASK_WAIT   nothing is decided before the answer (verdict.waits); then
//   limit_decide_granted LIMIT_ASK_AHEAD  tokens run low: ask for cost 0, nobody waits for the
//   answer LIMIT_ASK_SHADOW a shadow policy has no tokens: ask, nobody waits; the answer is only
//   counted
//
// While the store is away nobody is asked: the policy's on_store_failure decides. Thread: as
// limit.h.
#ifndef VALVECHAIN_LIMIT_LIMIT_LEASE_H
#define VALVECHAIN_LIMIT_LIMIT_LEASE_H

#include "limit/limit.h"

enum limit_ask_kind { LIMIT_ASK_NOTHING, LIMIT_ASK_WAIT, LIMIT_ASK_AHEAD, LIMIT_ASK_SHADOW };

struct limit_ask {
    uint8_t kind, charge; // index into the verdict's charges
    uint64_t identity, hash, key_id[2], limit;
    uint32_t cost;
    bool shadow;
};
// What the verdict asks for; fills in the key's name on every node. The facts are those it was
// decided by. Returns how many, at most LIMIT_MATCHED_MAX.
size_t limit_asks(const struct limit_view *view, const struct limit_facts *facts,
                  struct limit_verdict *verdict, struct limit_ask asks[LIMIT_MATCHED_MAX]);

enum limit_grant_kind { LIMIT_GRANTED, LIMIT_REFUSED, LIMIT_STORE_AWAY };
struct limit_grant { // the answer to one ask of kind LIMIT_ASK_WAIT or LIMIT_ASK_SHADOW
    uint8_t kind;    // enum limit_grant_kind
    uint64_t identity, key_id[2];
    uint64_t lease, fits_after_ns, left;
};
// Decides once more, with the answers: what was granted counts as charged, at the instant it was
// granted. It may wait again when the policies have changed meanwhile.
void limit_decide_granted(struct limit_view *view, const struct limit_facts *facts,
                          const struct limit_grant *grants, size_t n_grants,
                          struct limit_verdict *ret_verdict);

// Tokens that were granted to this request and not spent (it was denied, or refunded): to be told
// to the limiter. Each is handed out once.
struct limit_return {
    uint64_t identity, hash, key_id[2], lease;
    uint32_t tokens;
};
size_t limit_returns(struct limit_verdict *verdict, struct limit_return returns[LIMIT_MATCHED_MAX]);

#endif
