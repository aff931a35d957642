#include <criterion/criterion.h>
#include <string.h>

#include "check_ask.h"
#include "config/model.h"

static struct http_header header(const char *name, const char *value)
{
    return (struct http_header){name, strlen(name), value, strlen(value)};
}

static const char *code_of(const char *below, const char *query, const struct http_header *headers,
                           size_t n, struct check_ask *ret_ask)
{
    struct check_problem problem = {.code = "", .detail = ""};
    if (check_ask_read(below, query, headers, n, ret_ask, &problem))
        return "";
    cr_expect_neq(problem.detail[0], '\0');
    return problem.code;
}

Test(check_ask, each_form_says_target_and_method)
{
    struct check_ask ask;
    struct http_header nginx[] = {header("X-Original-URI", "/a?b"),
                                  header("X-Original-Method", "PUT")};
    cr_assert_str_eq(code_of("", "", nginx, 2, &ask), "");
    cr_expect_eq(ask.target_len, 4);
    cr_expect_eq(memcmp(ask.target, "/a?b", 4), 0);
    cr_expect_eq(ask.method_bit, HTTP_PUT);
    cr_expect_eq(ask.cost, 1);
    cr_expect_eq(ask.denied_status, 429);
    struct http_header traefik[] = {header("x-forwarded-uri", "/"),
                                    header("x-forwarded-method", "REPORT")};
    cr_assert_str_eq(code_of("", "", traefik, 2, &ask), "");
    cr_expect_eq(ask.method_bit, HTTP_OTHER);
    cr_assert_str_eq(code_of("/x", "cost=0&deny=403", NULL, 0, &ask), "");
    cr_expect_null(ask.target);
    cr_expect_eq(ask.method_bit, 0);
    cr_expect_eq(ask.cost, 1, "the query is the client's");
}

Test(check_ask, the_method_of_another_family_counts_for_nothing)
{
    struct check_ask ask;
    struct http_header headers[] = {header("X-Original-URI", "/a"),
                                    header("X-Forwarded-Method", "DELETE")};
    cr_assert_str_eq(code_of("", "", headers, 2, &ask), "");
    cr_expect_eq(ask.method_bit, 0);
}

Test(check_ask, empty_fields_are_none_and_two_are_too_many)
{
    struct check_ask ask;
    struct http_header headers[] = {header("X-Original-URI", "/a"), header("X-Forwarded-Uri", ""),
                                    header("X-Original-URI", "/a")};
    cr_expect_str_eq(code_of("", "", headers, 2, &ask), "");
    cr_expect_str_eq(code_of("", "", headers, 3, &ask), "check_ambiguous");
    cr_expect_str_eq(code_of("/b", "", headers, 1, &ask), "check_ambiguous");
    cr_expect_str_eq(code_of("", "", headers + 1, 1, &ask), "check_no_target");
}

Test(check_ask, options_and_their_bounds)
{
    static const struct {
        const char *query, *code;
        unsigned cost, denied;
    } rows[] = {
        {"", "", 1, 429},
        {"cost=1000000", "", 1000000, 429},
        {"cost=1000001", "check_cost", 0, 0},
        {"cost=", "check_cost", 0, 0},
        {"cost", "check_cost", 0, 0},
        {"peek", "", 0, 429},
        {"peek=false&cost=3", "", 3, 429},
        {"cost=3&peek=1", "", 0, 429},
        {"peek=2", "check_peek", 0, 0},
        {"deny=403&&cost=2&", "", 2, 403},
        {"deny=402", "check_deny", 0, 0},
        {"deny=404", "check_deny", 0, 0},
        {"=1", "check_parameter", 0, 0},
        {"peek=1&cost=3", "", 0, 429}, // a peek, in whatever order
        {"cost=1&cost=2", "check_parameter", 0, 0},
        {"peek&deny=401&peek", "check_parameter", 0, 0},
        {"deny=401&deny=401", "check_parameter", 0, 0},
        {"costs=1", "check_parameter", 0, 0},
        {"cost=00000000000000000001", "check_parameter", 0, 0},
    };
    struct http_header uri[] = {header("X-Original-URI", "/a")};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct check_ask ask = {.cost = 7};
        const char *code = code_of("", rows[i].query, uri, 1, &ask);
        cr_expect_str_eq(code, rows[i].code, "%s: %s", rows[i].query, code);
        if (rows[i].code[0] != '\0')
            continue;
        cr_expect_eq(ask.cost, rows[i].cost, "%s", rows[i].query);
        cr_expect_eq(ask.denied_status, rows[i].denied, "%s", rows[i].query);
    }
}
