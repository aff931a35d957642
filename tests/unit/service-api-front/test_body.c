#include <criterion/criterion.h>
#include <string.h>

#include "body.h"

#define SIZE 16

static struct body_pool pool;
static struct body body;

static void begin(void)
{
    body_pool_init(&pool, SIZE);
    body_init(&body, &pool);
}

static void end(void)
{
    body_fini(&body);
    body_pool_fini(&pool);
}

TestSuite(body, .init = begin, .fini = end);

static void expect_unread(const char *text)
{
    struct iovec pieces[2];
    char all[SIZE + 1] = "";
    int n = body_peek(&body, pieces);
    size_t len = 0;
    for (int i = 0; i < n; i++) {
        memcpy(all + len, pieces[i].iov_base, pieces[i].iov_len);
        len += pieces[i].iov_len;
    }
    all[len] = '\0';
    cr_assert_str_eq(all, text);
    cr_assert_eq(body_unread(&body), strlen(text));
}

Test(body, takes_what_fits_and_no_more)
{
    cr_assert_eq(body_room(&body), SIZE);
    cr_assert_eq(body_put(&body, "0123456789", 10), 10);
    cr_assert_eq(body_room(&body), 6);
    cr_assert_eq(body_put(&body, "abcdefghij", 10), 6);
    cr_assert_eq(body_room(&body), 0);
    cr_assert_eq(body_put(&body, "x", 1), 0);
    expect_unread("0123456789abcdef");
}

Test(body, goes_round)
{
    body_put(&body, "0123456789", 10);
    body_take(&body, 8);
    cr_assert_eq(body_put(&body, "abcdefghijkl", 12), 12);
    struct iovec pieces[2];
    cr_assert_eq(body_peek(&body, pieces), 2);
    expect_unread("89abcdefghijkl");
    char out[5] = "";
    cr_assert_eq(body_read(&body, out, 4), 4);
    cr_assert_str_eq(out, "89ab");
    expect_unread("cdefghijkl");
}

Test(body, is_in_one_piece_again_when_it_was_empty)
{
    struct iovec pieces[2];
    body_put(&body, "0123456789", 10);
    body_take(&body, 10);
    cr_assert_eq(body_peek(&body, pieces), 0);
    body_put(&body, "0123456789abcdef", 16);
    cr_assert_eq(body_peek(&body, pieces), 1);
}

Test(body, can_be_sent_twice_while_it_is_small)
{
    body_keep(&body);
    body_put(&body, "0123456789", 10);
    body_take(&body, 7);
    expect_unread("789");
    cr_assert(body_rewind(&body));
    expect_unread("0123456789");
    body_take(&body, 10);
    cr_assert_eq(body_put(&body, "abcdef", 6), 6);
    expect_unread("abcdef");
    cr_assert(body_rewind(&body));
    expect_unread("0123456789abcdef");
}

Test(body, gives_kept_bytes_up_for_new_ones)
{
    body_keep(&body);
    body_put(&body, "0123456789", 10);
    body_take(&body, 8);
    cr_assert_eq(body_room(&body), SIZE - 2);
    cr_assert_eq(body_put(&body, "abcdefgh", 8), 8);
    cr_assert_not(body_rewind(&body));
    expect_unread("89abcdefgh");
}

Test(body, buffers_are_used_again)
{
    body_put(&body, "x", 1);
    struct body_buffer *first = body.buffer;
    body_fini(&body);
    cr_assert_eq(pool.n_free, 1);
    body_init(&body, &pool);
    body_put(&body, "y", 1);
    cr_assert_eq(body.buffer, first);
    expect_unread("y");
}
