#include <criterion/criterion.h>
#include <string.h>

#include "http_syntax.h"

Test(http_syntax, knows_tokens_and_values)
{
    cr_assert(http_is_token("X-A_b.1~", 8));
    cr_assert_not(http_is_token("", 0));
    cr_assert_not(http_is_token("a b", 3));
    cr_assert_not(http_is_token("a\0", 2));
    cr_assert_not(http_is_token("a:", 2));
    cr_assert(http_is_field_value("", 0));
    cr_assert(http_is_field_value("a\t \xff", 4));
    cr_assert_not(http_is_field_value("a\0b", 3));
    cr_assert_not(http_is_field_value("a\n", 2));
}

Test(http_syntax, walks_lists)
{
    static const char value[] = " ,a, b c ,,\td";
    static const char *const expected[] = {"a", "b c", "d"};
    size_t position = 0;
    size_t len;
    const char *item;
    for (size_t i = 0; i < 3; i++) {
        cr_assert(http_list_next(value, strlen(value), &position, &item, &len));
        cr_assert_eq(len, strlen(expected[i]));
        cr_assert_eq(memcmp(item, expected[i], len), 0);
    }
    cr_assert_not(http_list_next(value, strlen(value), &position, &item, &len));
}

Test(http_syntax, finds_names_in_connection)
{
    struct http_header headers[] = {{"connection", 10, "close", 5},
                                    {"Connection", 10, "keep-alive, X-Hop", 17}};
    cr_assert(http_connection_names(headers, 2, "x-hop", 5));
    cr_assert(http_connection_names(headers, 2, "Close", 5));
    cr_assert_not(http_connection_names(headers, 2, "x-ho", 4));
    cr_assert(http_is_hop_by_hop("Keep-Alive", 10));
    cr_assert(http_is_hop_by_hop("TRANSFER-ENCODING", 17));
    cr_assert_not(http_is_hop_by_hop("Cookie", 6));
}
