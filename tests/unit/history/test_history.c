#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "history/history.h"

#define NOON 1700049600ULL // a whole minute, and a whole day

static struct history *empty_history(void)
{
    struct history *history = calloc(1, history_bytes());
    cr_assert(history);
    return history;
}

// A second of which nothing is known but these.
static void write_one(struct history *history, uint64_t second_s, uint32_t place, float value)
{
    float values[HISTORY_PLACES];
    for (size_t i = 0; i < HISTORY_PLACES; i++)
        values[i] = NAN;
    values[place] = value;
    history_write(history, second_s, values);
}

static uint32_t place_of(struct history *history, const char *name, const char *key, uint64_t now_s)
{
    uint32_t place = 0;
    cr_assert_eq(history_take_place(history, name, key, now_s, &place), 0);
    return place;
}

Test(history, what_was_not_written_is_a_gap)
{
    struct history *history = empty_history();
    write_one(history, NOON, HISTORY_PLACE_requests, 5);
    write_one(history, NOON + 2, HISTORY_PLACE_requests, 0);
    cr_assert_float_eq(history_value(history, HISTORY_PLACE_requests, NOON, 1), 5, 1e-6);
    cr_assert(isnan(history_value(history, HISTORY_PLACE_requests, NOON + 1, 1)));
    cr_assert_float_eq(history_value(history, HISTORY_PLACE_requests, NOON + 2, 1), 0, 1e-6);
    cr_assert(isnan(history_value(history, HISTORY_PLACE_cpu, NOON, 1)));
    cr_assert(isnan(history_value(history, HISTORY_PLACES + 5, NOON, 1)));
    free(history);
}

Test(history, seconds_live_an_hour_and_minutes_a_day)
{
    struct history *history = empty_history();
    for (uint64_t at = 0; at < 2ULL * 86400; at++)
        write_one(history, NOON + at, HISTORY_PLACE_cpu, (float)(at / 60 % 100));
    uint64_t now_s = NOON + 2ULL * 86400;
    cr_assert_not(isnan(history_value(history, HISTORY_PLACE_cpu, now_s - 3600, 1)));
    cr_assert(isnan(history_value(history, HISTORY_PLACE_cpu, now_s - 3601, 1)));
    // The last minute is not made before the next one begins; its seconds stand in for it.
    for (uint64_t back = 60; back <= 86400; back += 60) {
        uint64_t at = now_s - back;
        cr_assert_float_eq(history_value(history, HISTORY_PLACE_cpu, at, 60),
                           (float)((at - NOON) / 60 % 100), 1e-4, "%llu s ago",
                           (unsigned long long)back);
    }
    cr_assert(isnan(history_value(history, HISTORY_PLACE_cpu, now_s - 86400 - 120, 60)));
    free(history);
}

Test(history, each_series_is_rolled_up_by_its_own_rule)
{
    struct history *history = empty_history();
    float values[HISTORY_PLACES];
    for (size_t i = 0; i < HISTORY_PLACES; i++)
        values[i] = NAN;
    for (uint64_t at = 0; at <= 60; at++) {
        values[HISTORY_PLACE_requests] = at < 30 ? 90 : 10;
        values[HISTORY_PLACE_latency_mean] = at < 30 ? 1 : 101;
        values[HISTORY_PLACE_latency_p99] = at == 17 ? 400 : 5;
        values[HISTORY_PLACE_instances] = (float)at;
        history_write(history, NOON + at, values);
    }
    cr_assert_float_eq(history_value(history, HISTORY_PLACE_requests, NOON, 60), 50, 1e-4);
    // 900 of 1000 requests took 1 ms.
    cr_assert_float_eq(history_value(history, HISTORY_PLACE_latency_mean, NOON, 60), 11, 1e-3);
    cr_assert_float_eq(history_value(history, HISTORY_PLACE_latency_p99, NOON, 60), 400, 1e-4);
    cr_assert_float_eq(history_value(history, HISTORY_PLACE_instances, NOON, 60), 59, 1e-4);
    cr_assert_float_eq(history_value(history, HISTORY_PLACE_latency_p99, NOON + 10, 10), 400, 1e-4);
    cr_assert_float_eq(history_value(history, HISTORY_PLACE_latency_p99, NOON + 20, 10), 5, 1e-4);
    free(history);
}

Test(history, a_successor_makes_the_minute_that_its_predecessor_died_in)
{
    struct history *history = empty_history();
    for (uint64_t at = 0; at < 40; at++)
        write_one(history, NOON + at, HISTORY_PLACE_cpu, 20);
    // Nobody for five minutes; whoever comes has nothing but the memory.
    write_one(history, NOON + 340, HISTORY_PLACE_cpu, 70);
    cr_assert_float_eq(history_value(history, HISTORY_PLACE_cpu, NOON, 60), 20, 1e-4);
    cr_assert(isnan(history_value(history, HISTORY_PLACE_cpu, NOON + 60, 60)));
    for (uint64_t at = 341; at < 2ULL * 3600; at++)
        write_one(history, NOON + at, HISTORY_PLACE_cpu, 70);
    cr_assert_float_eq(history_value(history, HISTORY_PLACE_cpu, NOON, 60), 20, 1e-4,
                       "kept by the minute when its seconds are gone");
    free(history);
}

Test(history, a_clock_set_back_overwrites_and_goes_on)
{
    struct history *history = empty_history();
    for (uint64_t at = 0; at < 600; at++)
        write_one(history, NOON + at, HISTORY_PLACE_cpu, 10);
    for (uint64_t at = 0; at < 300; at++)
        write_one(history, NOON + at, HISTORY_PLACE_cpu, 30);
    cr_assert_float_eq(history_value(history, HISTORY_PLACE_cpu, NOON + 100, 1), 30, 1e-4);
    cr_assert_float_eq(history_value(history, HISTORY_PLACE_cpu, NOON + 400, 1), 10, 1e-4);
    cr_assert_float_eq(history_value(history, HISTORY_PLACE_cpu, NOON + 60, 60), 30, 1e-4);
    free(history);
}

Test(history, keys_have_places_of_their_own_and_the_same_ones_again)
{
    struct history *history = empty_history();
    char name[HISTORY_NAME_MAX];
    uint32_t database = place_of(history, "breaker_state", "database", NOON);
    uint32_t email = place_of(history, "breaker_state", "email", NOON);
    cr_assert_neq(database, email);
    cr_assert_geq(database, HISTORY_FIXED);
    cr_assert_eq(place_of(history, "breaker_state", "database", NOON + 9), database);
    cr_assert_eq(history_at(history, database, name)->rollup, HISTORY_MAX);
    cr_assert_str_eq(name, "breaker_state:database");
    cr_assert_null(history_at(history, HISTORY_PLACES - 1, name));
    uint32_t place = 7;
    cr_assert_eq(history_take_place(history, "breaker_state", "", NOON, &place), -EINVAL);
    cr_assert_eq(history_take_place(history, "breaker_state", "a\"b", NOON, &place), -EINVAL);
    cr_assert_eq(history_take_place(history, "requests", "x", NOON, &place), -EINVAL);
    cr_assert_eq(history_take_place(history, "policy_refusals",
                                    "a-name-that-is-longer-than-any-name-of-a-policy", NOON,
                                    &place),
                 -EINVAL);
    cr_assert_eq(place, 7);
    free(history);
}

Test(history, a_place_is_given_away_after_a_day_and_not_before)
{
    struct history *history = empty_history();
    char key[24];
    uint32_t first = 0, place = 0;
    for (uint32_t i = 0; i < HISTORY_PLACES - HISTORY_FIXED; i++) {
        (void)snprintf(key, sizeof(key), "policy-%u", i);
        place = place_of(history, "policy_refusals", key, NOON);
        if (i == 0)
            first = place;
    }
    write_one(history, NOON, first, 42);
    cr_assert_eq(history_take_place(history, "policy_refusals", "late", NOON + 86400, &place),
                 -ENOSPC);
    write_one(history, NOON + 60, first, 43);
    cr_assert_eq(history_take_place(history, "policy_refusals", "late", NOON + 86401, &place), 0);
    cr_assert_neq(place, first, "this one was written later");
    cr_assert_eq(history_take_place(history, "policy_refusals", "later", NOON + 86402, &place), 0);
    cr_assert_eq(place, first + 2);
    free(history);
}

Test(history, a_new_name_does_not_inherit_values)
{
    struct history *history = empty_history();
    char key[24];
    uint32_t place = 0;
    for (uint32_t i = 0; i < HISTORY_PLACES - HISTORY_FIXED; i++) {
        (void)snprintf(key, sizeof(key), "policy-%u", i);
        place = place_of(history, "policy_refusals", key, NOON);
        write_one(history, NOON + i, place, 42);
    }
    uint64_t day_later_s = NOON + 86400 + 1;
    uint32_t reused = place_of(history, "breaker_state", "new", day_later_s);
    cr_assert_eq(reused, HISTORY_FIXED);
    cr_assert(isnan(history_value(history, reused, NOON, 1)));
    free(history);
}

Test(history, damage_is_seen_and_begun_anew)
{
    struct history *history = empty_history();
    (void)place_of(history, "breaker_state", "database", NOON);
    write_one(history, NOON, HISTORY_PLACE_cpu, 20);
    cr_assert(history_mend(history));
    cr_assert_float_eq(history_value(history, HISTORY_PLACE_cpu, NOON, 1), 20, 1e-4);
    char *bytes = (char *)history;
    for (size_t i = 0; i < history_bytes() - 8; i++) {
        if (memcmp(bytes + i, "breaker_", 8) == 0) {
            bytes[i] = '\n';
            break;
        }
    }
    cr_assert_not(history_mend(history));
    cr_assert(isnan(history_value(history, HISTORY_PLACE_cpu, NOON, 1)));
    cr_assert(history_mend(history));
    free(history);
}

Test(history, any_bytes_can_be_read)
{
    struct history *history = empty_history();
    char name[HISTORY_NAME_MAX];
    memset(history, 0x5b, history_bytes());
    for (uint32_t place = 0; place < HISTORY_PLACES; place++) {
        (void)history_at(history, place, name);
        (void)history_value(history, place, NOON, 60);
    }
    cr_assert_eq(place_of(history, "breaker_state", "database", NOON + 0), HISTORY_FIXED);
    free(history);
}
