#include <criterion/criterion.h>

#include "retry_budget.h"

static const struct config_retry rules = {.budget_percent = 20, .budget_per_s = 3};

static unsigned take_all(struct retry_budget *budget, uint64_t now_ms)
{
    unsigned n = 0;
    while (retry_budget_take(budget, &rules, now_ms)) {
        n++;
    }
    return n;
}

Test(retry_budget, is_a_share_of_the_calls_and_a_floor)
{
    struct retry_budget budget = {0};
    cr_assert_eq(take_all(&budget, 50000), 30); // the floor of ten seconds
    for (int i = 0; i < 1000; i++) {
        retry_budget_call(&budget, 50000);
    }
    cr_assert_eq(take_all(&budget, 50500), 200);
    cr_assert_eq(take_all(&budget, 59999), 0); // what was taken is still in the window
    cr_assert_eq(take_all(&budget, 61000), 30);
}

Test(retry_budget, nothing_is_nothing)
{
    struct retry_budget budget = {0};
    struct config_retry none = {0};
    retry_budget_call(&budget, 5);
    cr_assert_not(retry_budget_take(&budget, &none, 5));
}

// All calls fail and each asks for more, at changing rates: whenever one gets another attempt,
// there were no more in the ten seconds before than the share and the floor allow.
Test(retry_budget, bounds_the_attempts_of_every_trailing_window)
{
    enum { STEP_MS = 100, STEPS = 1200, WINDOW = 10000 / STEP_MS };
    static unsigned calls[STEPS], retries[STEPS];
    struct retry_budget budget = {0};
    uint64_t random = 1;
    for (int step = 0; step < STEPS; step++) {
        random = random * 6364136223846793005ULL + 1442695040888963407ULL;
        calls[step] = (unsigned)(random >> 40) % (step / 200 % 2 == 0 ? 100 : 3);
        uint64_t now_ms = 777 + (uint64_t)step * STEP_MS;
        for (unsigned i = 0; i < calls[step]; i++) {
            retry_budget_call(&budget, now_ms);
            retries[step] += retry_budget_take(&budget, &rules, now_ms) ? 1 : 0;
        }
        unsigned sum_calls = 0, sum_retries = 0;
        for (int at = step < WINDOW ? 0 : step - WINDOW + 1; at <= step; at++) {
            sum_calls += calls[at];
            sum_retries += retries[at];
        }
        cr_assert(retries[step] == 0 || sum_retries * 10 <= sum_calls * 2 + 300, "step %d", step);
    }
}
