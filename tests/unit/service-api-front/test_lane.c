// Ordering keys from header fields and from members of a JSON body.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "lane.h"

static const struct http_header headers[] = {
    {.name = "Host", .name_len = 4, .value = "x", .value_len = 1},
    {.name = "x-account", .name_len = 9, .value = "7", .value_len = 1},
    {.name = "X-Empty", .name_len = 7, .value = "", .value_len = 0},
};

static const char *lane_of(const char *first, const char *second, const char *body)
{
    static char lane[LANE_MAX];
    char names[2][200];
    char *order_by[] = {names[0], second != NULL ? names[1] : NULL, NULL};
    const struct lane_source source = {.headers = headers,
                                       .n_headers = 3,
                                       .body = body,
                                       .body_len = body != NULL ? strlen(body) : 0};
    snprintf(names[0], sizeof(names[0]), "%s", first);
    snprintf(names[1], sizeof(names[1]), "%s", second != NULL ? second : "");
    lane_read(order_by, &source, lane);
    return lane;
}

Test(lane, header_fields)
{
    cr_assert_str_eq(lane_of("X-Account", NULL, NULL), "X-Account=7");
    cr_assert_str_eq(lane_of("X-Missing", "X-Account", NULL), "X-Account=7");
    cr_assert_str_eq(lane_of("X-Empty", "X-Missing", NULL), "");
    char lane[LANE_MAX] = "before";
    const struct lane_source source = {.headers = headers, .n_headers = 3};
    lane_read(NULL, &source, lane);
    cr_assert_str_eq(lane, "");
}

Test(lane, members_of_a_json_body)
{
    static const char body[] = "{\"id\":1,\"params\":[{\"from\":\"0xAb\",\"chainId\":\"0x1\",\"a/"
                               "b\":{\"~\":true},\"n\":12,"
                               "\"none\":null,\"list\":[1]}]}";
    cr_assert_str_eq(lane_of("json:/params/0/chainId", "json:/params/0/from", body),
                     "json:/params/0/chainId=\"0x1\" json:/params/0/from=\"0xAb\"");
    cr_assert_str_eq(lane_of("X-Account", "json:/params/0/n", body),
                     "X-Account=7 json:/params/0/n=12");
    cr_assert_str_eq(lane_of("json:/params/0/a~1b/~0", NULL, body), "json:/params/0/a~1b/~0=true");
    cr_assert_str_eq(lane_of("json:/params/0/list/0", NULL, body), "json:/params/0/list/0=1");
    static const char *const nowhere[] = {
        "json:/params/1/from", "json:/params/00/from", "json:/params/x/from", "json:/params/-",
        "json:/params/0/none", "json:/params/0/list",  "json:/params",        "json:/id/0",
        "json:/params/0/",     "json:/params/0/fro"};
    for (size_t i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++)
        cr_expect_str_eq(lane_of(nowhere[i], NULL, body), "", "%s", nowhere[i]);
}

Test(lane, a_body_that_is_no_json_or_not_here_names_no_lane)
{
    static const char *const bodies[] = {NULL, "", "{", "[1]", "7", "{\"a\":1} x"};
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
        cr_expect_str_eq(lane_of("json:/a", NULL, bodies[i]), "", "%zu", i);
    cr_assert_str_eq(lane_of("json:/a", NULL, "{\"a\":\"x\\n\\\"\"}"), "json:/a=\"x\\n\\\"\"");
}

Test(lane, long_values_are_told_apart_by_their_hash)
{
    char body[2048], first[LANE_MAX], second[LANE_MAX];
    for (int i = 0; i < 2; i++) {
        char *lane = i == 0 ? first : second;
        snprintf(body, sizeof(body), "{\"a\":\"%0*d\"}", 1000, i);
        snprintf(lane, LANE_MAX, "%s", lane_of("json:/a", "X-Account", body));
        cr_assert_eq(strlen(lane), LANE_MAX - 1);
    }
    cr_assert_eq(memcmp(first, second, 200), 0);
    cr_assert_str_neq(first, second);
}
