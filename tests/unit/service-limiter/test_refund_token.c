#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "refund_token.h"

static struct limit_verdict verdict_of(unsigned n)
{
    struct limit_verdict verdict = {.admitted = true, .n = (uint16_t)n, .generation = 3};
    for (unsigned i = 0; i < n; i++)
        verdict.charges[i] =
            (struct limit_charge){.policy = (uint16_t)i, .cell = 100 + i, .tag = i, .cost = i};
    return verdict;
}

static struct refund_mint *mint_create(void)
{
    struct refund_mint *mint = calloc(1, sizeof(*mint));
    cr_assert_not_null(mint);
    refund_mint_init(mint);
    return mint;
}

Test(refund_token, gives_back_what_was_charged_and_only_once)
{
    struct refund_mint *mint = mint_create();
    struct limit_verdict verdict = verdict_of(LIMIT_MATCHED_MAX), taken;
    uint8_t token[REFUND_TOKEN_MAX];
    size_t len = refund_token_make(mint, &verdict, 1000, token);
    cr_assert_null(refund_token_take(mint, token, len, 1000, &taken));
    cr_expect(taken.admitted);
    cr_expect_eq(taken.generation, 3);
    cr_expect_eq(taken.n, LIMIT_MATCHED_MAX - 1, "a charge of cost 0 is none");
    cr_expect_eq(taken.charges[0].cell, 101);
    cr_expect_eq(taken.charges[6].cost, 7);
    cr_expect_str_eq(refund_token_take(mint, token, len, 1000, &taken), "it was used before");
    free(mint);
}

Test(refund_token, shows_nothing_of_the_memory_between_the_fields)
{
    struct refund_mint *mint = mint_create();
    struct limit_verdict verdict;
    uint8_t tokens[2][REFUND_TOKEN_MAX];
    size_t len = 0, head = 5 * sizeof(uint64_t); // the seal and the number differ
    for (unsigned i = 0; i < 2; i++) {
        memset(&verdict, i == 0 ? 0x55 : 0xaa, sizeof(verdict));
        verdict.n = 1;
        verdict.generation = 3;
        struct limit_charge *charge = &verdict.charges[0];
        charge->policy = 1;
        charge->shadow = charge->denied = charge->leased = charge->store_away = false;
        charge->cell = charge->bucket = charge->cost = charge->lease_due = 1;
        charge->limit = charge->remaining = charge->reset_ns = charge->tag = charge->owner = 1;
        charge->hash = charge->identity = charge->lease = 1;
        charge->key_id[0] = charge->key_id[1] = 1;
        charge->ask = 0;
        len = refund_token_make(mint, &verdict, 1000, tokens[i]);
    }
    cr_expect_arr_eq(tokens[0] + head, tokens[1] + head, len - head);
    free(mint);
}

Test(refund_token, every_changed_byte_and_length_is_refused)
{
    struct refund_mint *mint = mint_create(), *other = mint_create();
    struct limit_verdict verdict = verdict_of(2), taken;
    uint8_t token[REFUND_TOKEN_MAX];
    size_t len = refund_token_make(mint, &verdict, 1000, token);
    for (size_t i = 0; i < len; i++) {
        token[i] ^= 0x40;
        cr_expect_not_null(refund_token_take(mint, token, len, 0, &taken), "byte %zu", i);
        token[i] ^= 0x40;
    }
    for (size_t shorter = 0; shorter < len; shorter++)
        cr_expect_not_null(refund_token_take(mint, token, shorter, 0, &taken));
    cr_expect_not_null(refund_token_take(other, token, len, 0, &taken), "of another process");
    cr_expect_null(refund_token_take(mint, token, len, 0, &taken));
    free(mint);
    free(other);
}

Test(refund_token, old_ones_are_refused_by_time_and_by_number)
{
    struct refund_mint *mint = mint_create();
    struct limit_verdict verdict = verdict_of(2), taken;
    uint8_t token[REFUND_TOKEN_MAX], newer[REFUND_TOKEN_MAX];
    size_t len = refund_token_make(mint, &verdict, 1000, token);
    cr_expect_str_eq(refund_token_take(mint, token, len, 1001, &taken), "it is too old");
    for (uint64_t i = 1; i < REFUND_TOKENS_LIVE; i++)
        (void)refund_token_make(mint, &verdict, 1000, newer);
    cr_expect_null(refund_token_take(mint, token, len, 1000, &taken), "the oldest that lives");
    len = refund_token_make(mint, &verdict, 1000, token);
    for (uint64_t i = 0; i < REFUND_TOKENS_LIVE; i++)
        (void)refund_token_make(mint, &verdict, 1000, newer);
    cr_expect_str_eq(refund_token_take(mint, token, len, 1000, &taken), "it is too old");
    cr_expect_null(refund_token_take(mint, newer, len, 1000, &taken));
    free(mint);
}
