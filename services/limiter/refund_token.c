#include "refund_token.h"

#include <sodium.h>
#include <stdbool.h>
#include <string.h>

struct token_head {
    uint64_t seal; // of all that follows
    uint64_t id, expires_ns, generation, n;
};
_Static_assert(sizeof(struct token_head) + LIMIT_MATCHED_MAX * sizeof(struct limit_charge) ==
                   REFUND_TOKEN_MAX,
               "a token holds the charges of any verdict");
_Static_assert(crypto_shorthash_KEYBYTES == 16 && crypto_shorthash_BYTES == 8, "SipHash seals");

void refund_mint_init(struct refund_mint *mint)
{
    *mint = (struct refund_mint){.last_id = 0};
    randombytes_buf(mint->key, sizeof(mint->key));
}

static uint64_t seal_of(const struct refund_mint *mint, const uint8_t *token, size_t len)
{
    uint64_t seal;

    crypto_shorthash((unsigned char *)&seal, token + sizeof(seal), len - sizeof(seal), mint->key);
    return seal;
}

static bool take_id(struct refund_mint *mint, uint64_t id)
{
    uint64_t *word = &mint->used[id % REFUND_TOKENS_LIVE / 64], bit = UINT64_C(1) << id % 64;
    bool used = *word & bit;

    *word |= bit;
    return !used;
}

// Field by field: what lies between the fields of a verdict is memory of this process, which a
// token must not show.
_Static_assert(sizeof(struct limit_charge) == 120, "a new field of a charge goes in here, too");
static void put_charge(const struct limit_charge *charge, uint8_t *out)
{
    struct limit_charge plain;
    memset(&plain, 0, sizeof(plain));
    plain.policy = charge->policy;
    plain.shadow = charge->shadow;
    plain.denied = charge->denied;
    plain.limit = charge->limit;
    plain.remaining = charge->remaining;
    plain.reset_ns = charge->reset_ns;
    plain.cell = charge->cell;
    plain.bucket = charge->bucket;
    plain.cost = charge->cost;
    plain.tag = charge->tag;
    plain.owner = charge->owner;
    plain.hash = charge->hash;
    plain.identity = charge->identity;
    plain.ask = charge->ask;
    plain.leased = charge->leased;
    plain.store_away = charge->store_away;
    plain.lease = charge->lease;
    plain.key_id[0] = charge->key_id[0];
    plain.key_id[1] = charge->key_id[1];
    plain.lease_due = charge->lease_due;
    memcpy(out, &plain, sizeof(plain));
}

size_t refund_token_make(struct refund_mint *mint, const struct limit_verdict *verdict,
                         uint64_t expires_ns, uint8_t token[REFUND_TOKEN_MAX])
{
    struct token_head head = {
        .id = ++mint->last_id, .expires_ns = expires_ns, .generation = verdict->generation};
    size_t len = sizeof(head);

    mint->used[head.id % REFUND_TOKENS_LIVE / 64] &= ~(UINT64_C(1) << head.id % 64);
    for (unsigned i = 0; i < verdict->n; i++) {
        if (verdict->charges[i].cost == 0)
            continue;
        put_charge(&verdict->charges[i], token + len);
        len += sizeof(verdict->charges[i]);
        head.n++;
    }
    memcpy(token, &head, sizeof(head));
    head.seal = seal_of(mint, token, len);
    memcpy(token, &head.seal, sizeof(head.seal));
    return len;
}

const char *refund_token_take(struct refund_mint *mint, const void *token, size_t len,
                              uint64_t now_ns, struct limit_verdict *ret_verdict)
{
    struct token_head head;

    if (len < sizeof(head) || len > REFUND_TOKEN_MAX)
        return "it is no token of this limiter";
    memcpy(&head, token, sizeof(head));
    if (head.seal != seal_of(mint, token, len))
        return "it is no token of this limiter, or of one before its restart";
    if (now_ns > head.expires_ns || head.id + REFUND_TOKENS_LIVE <= mint->last_id)
        return "it is too old";
    if (!take_id(mint, head.id))
        return "it was used before";
    *ret_verdict = (struct limit_verdict){
        .admitted = true, .n = (uint16_t)head.n, .generation = head.generation};
    memcpy(ret_verdict->charges, (const uint8_t *)token + sizeof(head), len - sizeof(head));
    return NULL;
}
