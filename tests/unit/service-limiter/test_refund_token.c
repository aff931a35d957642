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
