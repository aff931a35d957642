#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "history/history_query.h"

#define NOON 1700049600ULL

static struct history *history_of_cpu(uint64_t from_s, uint64_t to_s)
{
    struct history *history = calloc(1, history_bytes());
    float values[HISTORY_PLACES];
    cr_assert(history);
    for (size_t i = 0; i < HISTORY_PLACES; i++)
        values[i] = NAN;
    for (uint64_t at = from_s; at < to_s; at++) {
        values[HISTORY_PLACE_cpu] = (float)(at % 10);
        history_write(history, at, values);
    }
    return history;
}

static void expect(const struct history *history, const struct history_query *query,
                   const char *answer)
{
    struct strbuf out = STRBUF_INIT;
    char problem[HISTORY_PROBLEM_MAX] = "";
    cr_assert_eq(history_answer(history, query, NOON, &out, problem), 0, "%s", problem);
    cr_assert_str_eq(strbuf_text(&out), answer);
    strbuf_fini(&out);
}

static void expect_problem(const struct history *history, const struct history_query *query,
                           const char *beginning)
{
    struct strbuf out = STRBUF_INIT;
    char problem[HISTORY_PROBLEM_MAX] = "";
    cr_assert_eq(history_answer(history, query, NOON, &out, problem), -EINVAL);
    cr_assert_eq(strncmp(problem, beginning, strlen(beginning)), 0, "%s", problem);
    cr_assert(strstr(problem, "allowed") || strstr(problem, "lists") || strstr(problem, "before"));
    cr_assert_eq(out.len, 0);
    strbuf_fini(&out);
}

Test(history_query, values_of_a_range_with_gaps_as_null)
{
    struct history *history = history_of_cpu(NOON - 3, NOON);
    expect(history, &(struct history_query){.name = "cpu", .from = "-5", .step = "1"},
           "{\"now\":1700049600,\"from\":1700049595,\"step\":1,\"count\":5,\"series\":["
           "{\"name\":\"cpu\",\"unit\":\"percent\",\"values\":[null,null,7,8,9]}]}\n");
    expect(history,
           &(struct history_query){
               .name = "cpu,memory", .from = "1700049597", .to = "1700049599", .step = "2"},
           "{\"now\":1700049600,\"from\":1700049596,\"step\":2,\"count\":2,\"series\":["
           "{\"name\":\"cpu\",\"unit\":\"percent\",\"values\":[7,8.5]},"
           "{\"name\":\"memory\",\"unit\":\"percent\",\"values\":[null,null]}]}\n");
    free(history);
}

Test(history_query, a_star_names_all_that_begin_so_and_may_name_none)
{
    struct history *history = history_of_cpu(NOON - 3, NOON);
    uint32_t place;
    expect(history, &(struct history_query){.name = "breaker_state:*", .from = "-1"},
           "{\"now\":1700049600,\"from\":1700049599,\"step\":1,\"count\":1,\"series\":[]}\n");
    cr_assert_eq(history_take_place(history, "breaker_state", "email", NOON, &place), 0);
    expect(history,
           &(struct history_query){.name = "breaker_state:*,breaker_state:email", .from = "-1"},
           "{\"now\":1700049600,\"from\":1700049599,\"step\":1,\"count\":1,\"series\":["
           "{\"name\":\"breaker_state:email\",\"unit\":\"state\",\"values\":[null]}]}\n");
    free(history);
}

Test(history_query, without_a_name_the_series_are_listed)
{
    struct history *history = history_of_cpu(NOON - 3, NOON);
    struct strbuf out = STRBUF_INIT;
    char problem[HISTORY_PROBLEM_MAX];
    cr_assert_eq(history_answer(history, &(struct history_query){0}, NOON, &out, problem), 0);
    for (size_t i = 0; history_series_at(i); i++) {
        char quoted[64];
        if (history_series_at(i)->has_key)
            continue;
        (void)snprintf(quoted, sizeof(quoted), "{\"name\":\"%s\",", history_series_at(i)->name);
        cr_assert(strstr(strbuf_text(&out), quoted), "%s", quoted);
    }
    cr_assert(strstr(strbuf_text(&out), "{\"step\":60,\"seconds\":86400}"));
    strbuf_fini(&out);
    free(history);
}

Test(history_query, the_default_is_the_last_hour_in_at_most_720_steps)
{
    struct history *history = history_of_cpu(NOON - 3, NOON);
    struct strbuf out = STRBUF_INIT;
    char problem[HISTORY_PROBLEM_MAX];
    cr_assert_eq(
        history_answer(history, &(struct history_query){.name = "cpu"}, NOON, &out, problem), 0);
    cr_assert(strstr(strbuf_text(&out), "\"from\":1700046000,\"step\":5,\"count\":720,"));
    strbuf_clear(&out);
    cr_assert_eq(history_answer(history, &(struct history_query){.name = "cpu", .from = "-86400"},
                                NOON, &out, problem),
                 0);
    cr_assert(strstr(strbuf_text(&out), "\"from\":1699963200,\"step\":120,\"count\":720,"));
    strbuf_fini(&out);
    free(history);
}

Test(history_query, bad_parameters_are_named)
{
    struct history *history = history_of_cpu(NOON - 3, NOON);
    expect_problem(history, &(struct history_query){.name = "cpu,bogus"}, "name: 'bogus'");
    expect_problem(history, &(struct history_query){.name = "cpu", .from = "yesterday"},
                   "from: 'yesterday'");
    expect_problem(history, &(struct history_query){.name = "cpu", .from = "1e9"}, "from: '1e9'");
    expect_problem(history, &(struct history_query){.name = "cpu", .from = "-90000"},
                   "from: '-90000'");
    expect_problem(history, &(struct history_query){.name = "cpu", .from = "1700049700"},
                   "from: '1700049700'");
    expect_problem(history, &(struct history_query){.name = "cpu", .to = "x"}, "to: 'x'");
    expect_problem(history, &(struct history_query){.name = "cpu", .step = "0"}, "step: '0'");
    expect_problem(history, &(struct history_query){.name = "cpu", .step = "-5"}, "step: '-5'");
    expect_problem(history, &(struct history_query){.name = "cpu", .from = "-7200", .step = "90"},
                   "step: '90'");
    expect_problem(history, &(struct history_query){.name = "*", .step = "1"}, "step: 1 s make");
    free(history);
}

Test(history_query, a_query_is_read_in_place)
{
    char text[] = "name=breaker_state%3A*%2ccpu&step=&from=-60&to";
    struct history_query query;
    char problem[HISTORY_PROBLEM_MAX];
    cr_assert_eq(history_query_read(text, &query, problem), 0);
    cr_assert_str_eq(query.name, "breaker_state:*,cpu");
    cr_assert_str_eq(query.from, "-60");
    cr_assert_str_eq(query.step, "");
    cr_assert_str_eq(query.to, "");
    char empty[] = "";
    cr_assert_eq(history_query_read(empty, &query, problem), 0);
    cr_assert_null(query.name);
    static const char *const bad[] = {"name=%",    "name=%2",   "name=%zz",
                                      "name=a%00", "names=cpu", "=5"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char copy[16];
        (void)snprintf(copy, sizeof(copy), "%s", bad[i]);
        cr_assert_eq(history_query_read(copy, &query, problem), -EINVAL, "%s", bad[i]);
        cr_assert(strstr(problem, "allowed"), "%s", problem);
    }
}

Test(history_query, a_segment_without_history_answers_gaps)
{
    expect(NULL, &(struct history_query){.name = "cpu", .from = "-2"},
           "{\"now\":1700049600,\"from\":1700049598,\"step\":1,\"count\":2,\"series\":["
           "{\"name\":\"cpu\",\"unit\":\"percent\",\"values\":[null,null]}]}\n");
}
