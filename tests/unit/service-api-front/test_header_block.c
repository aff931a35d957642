// Blocks as libmicrohttpd leaves them (seen with 0.9.75): NUL over colon, CR and LF.
#include <criterion/criterion.h>
#include <string.h>

#include "header_block.h"

#define BLOCK(text) (text), sizeof(text) - 1

struct place {
    size_t name, name_len, value, value_len;
};

static bool is_plain(const char *block, size_t len, const struct place *places, size_t n)
{
    struct http_header headers[8];
    for (size_t i = 0; i < n; i++)
        headers[i] = (struct http_header){.name = block + places[i].name,
                                          .name_len = places[i].name_len,
                                          .value = block + places[i].value,
                                          .value_len = places[i].value_len};
    return header_block_is_plain(block, block + len, headers, n);
}

Test(header_block, ordinary_lines_pass)
{
    const struct place places[] = {{2, 4, 8, 1}, {11, 1, 13, 2}, {17, 1, 19, 0}};
    cr_assert(is_plain(BLOCK("\0\0Host\0 a\0\0X\0b \0\0Y\0\0\0\0\0"), places, 3));
    cr_assert(is_plain(BLOCK("\0\0\0\0"), NULL, 0));
}

Test(header_block, nul_in_a_value_is_seen)
{
    const struct place places[] = {{2, 3, 7, 1}, {12, 1, 14, 1}};
    cr_assert_not(is_plain(BLOCK("\0\0X-A\0 a\0b\0\0Y\0c\0\0\0\0"), places, 2));
    cr_assert_not(is_plain(BLOCK("\0\0X-A\0 a\0b\0\0\0\0"), places, 1));
}

Test(header_block, an_empty_name_is_seen)
{
    const struct place places[] = {{2, 4, 8, 1}};
    cr_assert(is_plain(BLOCK("\0\0Host\0 a\0\0\0\0"), places, 1));
    cr_assert_not(is_plain(BLOCK("\0\0Host\0 a\0\0\0 1\0\0"), places, 1));
    cr_assert_not(is_plain(BLOCK("\0\0Host\0 a\0\0\0\0\0"), places, 1), "a lone colon");
}

Test(header_block, bare_lf_is_seen)
{
    const struct place places[] = {{1, 4, 7, 1}};
    cr_assert_not(is_plain(BLOCK("\0Host\0 a\0\0"), places, 1));
    cr_assert_not(is_plain(BLOCK("\0Host\0 a\0\0\0"), places, 1));
}

Test(header_block, folded_lines_lie_elsewhere)
{
    static const char block[] = "\0\0X-F\0 a\0\0 b\0\0\0\0";
    static const char joined[] = "X-Fb";
    struct http_header header = {joined, 4, block + 7, 1};
    cr_assert_not(header_block_is_plain(block, block + sizeof(block) - 1, &header, 1));
    struct http_header value = {block + 2, 3, joined, 4};
    cr_assert_not(header_block_is_plain(block, block + sizeof(block) - 1, &value, 1));
}

Test(header_block, order_and_bounds_are_checked)
{
    static const char block[] = "\0\0A\0b\0\0C\0d\0\0\0\0";
    struct http_header swapped[] = {{block + 7, 1, block + 9, 1}, {block + 2, 1, block + 4, 1}};
    cr_assert_not(header_block_is_plain(block, block + sizeof(block) - 1, swapped, 2));
    struct http_header beyond = {block + 2, 1, block + 12, 8};
    cr_assert_not(header_block_is_plain(block, block + sizeof(block) - 1, &beyond, 1));
}
