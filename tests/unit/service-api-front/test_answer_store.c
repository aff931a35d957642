// The store of last good answers: what it finds, and that it never holds more than it may.
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer_store.h"

static struct answer_store *store;

static void create(size_t max_bytes)
{
    cr_assert_eq(answer_store_create(max_bytes, &store), 0);
}

static struct answer_key key_of(const char *text)
{
    const struct answer_text texts[] = {{text, strlen(text)}};
    struct answer_key key;
    answer_store_key(store, texts, 1, &key);
    return key;
}

static int put(const char *key, const char *vary, size_t body_len, char fill, uint64_t at_ns)
{
    static const struct http_header headers[] = {{"Content-Type", 12, "text/plain", 10},
                                                 {"X-Empty", 7, "", 0}};
    char *body = body_len > 0 ? malloc(body_len) : NULL;
    if (body != NULL)
        memset(body, fill, body_len);
    const struct answer_record record = {
        .key = key_of(key),
        .status = 200,
        .headers = headers,
        .n_headers = 2,
        .vary = vary,
        .received_ns = at_ns,
        .body = body,
        .body_len = body_len,
    };
    int error = answer_store_put(store, &record);
    if (error != 0)
        free(body);
    return error;
}

static struct stored_answer *get(const char *key, const char *x_a)
{
    const struct http_header header = {"X-A", 3, x_a, x_a != NULL ? strlen(x_a) : 0};
    const struct answer_key wanted = key_of(key);
    return answer_store_get(store, &wanted, &header, x_a != NULL ? 1 : 0);
}

// The first byte of the body found, 0 for none.
static char found(const char *key, const char *x_a)
{
    struct stored_answer *answer = get(key, x_a);
    char first = answer == NULL ? 0 : answer->body_len > 0 ? answer->body[0] : '-';
    answer_store_release(store, &answer);
    return first;
}

static size_t entries(void)
{
    return answer_store_figures(store).entries;
}

Test(answer_store, gives_back_what_was_put)
{
    create(100000);
    cr_assert_eq(put("k", "", 3, 'b', 7), 0);
    struct stored_answer *answer = get("k", NULL);
    cr_assert_not_null(answer);
    cr_expect_eq(answer->status, 200);
    cr_expect_eq(answer->n_headers, 2);
    cr_expect_str_eq(answer->headers[0].name, "Content-Type");
    cr_expect_str_eq(answer->headers[0].value, "text/plain");
    cr_expect_str_eq(answer->headers[1].value, "");
    cr_expect_eq(answer->body_len, 3);
    cr_expect_eq(memcmp(answer->body, "bbb", 3), 0);
    cr_expect_eq(answer->received_ns, 7);
    answer_store_release(store, &answer);
    cr_expect_null(answer);
    cr_expect_eq(found("other", NULL), 0);
    cr_assert_eq(put("k", "", 0, 0, 8), 0);
    cr_expect_eq(found("k", NULL), '-', "the newer one took its place");
    cr_expect_eq(entries(), 1);
    answer_store_destroy(&store);
}

Test(answer_store, keys_are_lists_of_texts)
{
    create(1000);
    const struct answer_text ab_c[] = {{"ab", 2}, {"c", 1}}, a_bc[] = {{"a", 1}, {"bc", 2}};
    struct answer_key one, two, again;
    answer_store_key(store, ab_c, 2, &one);
    answer_store_key(store, a_bc, 2, &two);
    answer_store_key(store, ab_c, 2, &again);
    cr_expect_neq(memcmp(&one, &two, sizeof(one)), 0);
    cr_expect_eq(memcmp(&one, &again, sizeof(one)), 0);
    answer_store_destroy(&store);
}

Test(answer_store, variants)
{
    create(100000);
    cr_assert_eq(put("k", "X-A:1\n", 1, '1', 1), 0);
    cr_assert_eq(put("k", "X-A:2\n", 1, '2', 2), 0);
    cr_assert_eq(put("k", "X-A\n", 1, '0', 3), 0);
    cr_expect_eq(found("k", "1"), '1');
    cr_expect_eq(found("k", "2"), '2');
    cr_expect_eq(found("k", NULL), '0');
    cr_expect_eq(found("k", "3"), 0);
    cr_assert_eq(put("k", "", 1, 'n', 9), 0);
    cr_expect_eq(found("k", "1"), 'n', "of those that fit, the newest");
    struct answer_key key = key_of("k");
    answer_store_drop(store, &key);
    cr_expect_eq(entries(), 0);
    char vary[16];
    for (int i = 0; i < ANSWER_VARIANTS_MAX + 3; i++) {
        (void)snprintf(vary, sizeof(vary), "X-A:%d\n", i);
        cr_assert_eq(put("k", vary, 1, 'v', (uint64_t)i), 0);
    }
    cr_expect_eq(entries(), ANSWER_VARIANTS_MAX);
    cr_expect_eq(found("k", "2"), 0, "the oldest went");
    cr_expect_eq(found("k", "3"), 'v');
    answer_store_destroy(&store);
}

Test(answer_store, the_least_recently_used_goes_first)
{
    create(20000);
    cr_assert_eq(put("a", "", 4000, 'a', 1), 0);
    cr_assert_eq(put("b", "", 4000, 'b', 2), 0);
    cr_assert_eq(put("c", "", 4000, 'c', 3), 0);
    cr_assert_eq(put("d", "", 4000, 'd', 4), 0);
    cr_expect_eq(found("a", NULL), 'a');
    cr_assert_eq(put("e", "", 4000, 'e', 5), 0);
    cr_expect_eq(found("a", NULL), 'a');
    cr_expect_eq(found("b", NULL), 0);
    cr_expect_eq(answer_store_figures(store).evictions, 1);
    cr_expect_eq(put("f", "", 5001, 'f', 6), -ENOSPC, "larger than a quarter");
    answer_store_bound(store, 5500);
    cr_expect_eq(entries(), 1);
    cr_expect_eq(found("a", NULL), 'a');
    answer_store_bound(store, 0);
    cr_expect_eq(entries(), 0);
    cr_expect_eq(put("a", "", 1, 'a', 1), -ENOSPC);
    answer_store_destroy(&store);
}

Test(answer_store, an_answer_in_use_outlives_its_place_and_still_counts)
{
    create(20000);
    cr_assert_eq(put("a", "", 4000, 'a', 1), 0);
    struct stored_answer *first = get("a", NULL), *second = get("a", NULL);
    struct answer_key key = key_of("a");
    size_t with = answer_store_figures(store).bytes;
    answer_store_drop(store, &key);
    cr_expect_eq(answer_store_figures(store).bytes, with);
    cr_expect_eq(first->body[3999], 'a');
    answer_store_release(store, &first);
    cr_expect_eq(second->body[3999], 'a');
    answer_store_release(store, &second);
    cr_expect_leq(answer_store_figures(store).bytes, with - 4000);
    answer_store_destroy(&store);
}

Test(answer_store, room_for_what_is_coming)
{
    create(40000);
    cr_assert_eq(put("a", "", 9000, 'a', 1), 0);
    cr_assert(answer_store_reserve(store, 6000));
    cr_expect_not(answer_store_reserve(store, 6000), "a quarter and no more");
    cr_assert(answer_store_reserve(store, 4000));
    answer_store_unreserve(store, 10000);
    answer_store_bound(store, 0);
    cr_expect_not(answer_store_reserve(store, 1));
    answer_store_destroy(&store);
}

// Random puts, looks, drops, reservations and answers in use: the bound holds after every step.
Test(answer_store, the_bound_holds_under_churn)
{
    enum { BOUND = 300000, STEPS = 60000, USED = 16 };
    struct stored_answer *used[USED] = {0};
    size_t reserved = 0;
    unsigned random = 1;
    char name[32], vary[32];
    create(BOUND);
    for (int i = 0; i < STEPS; i++) {
        random = random * 1103515245u + 12345u;
        unsigned r = random >> 8;
        (void)snprintf(name, sizeof(name), "k%u", r % 701);
        (void)snprintf(vary, sizeof(vary), r % 3 == 0 ? "X-A:%u\n" : "", r % 13);
        int error = put(name, vary, r % 17 == 0 ? r % 90000 : r % 900, 'x', (uint64_t)i);
        cr_assert(error == 0 || error == -ENOSPC);
        struct stored_answer **slot = &used[r % USED];
        answer_store_release(store, slot);
        *slot = get(name, NULL);
        if (r % 29 == 0) {
            struct answer_key key = key_of(name);
            answer_store_drop(store, &key);
        }
        if (r % 7 == 0 && answer_store_reserve(store, r % 40000))
            reserved += r % 40000;
        if (r % 11 == 0) {
            answer_store_unreserve(store, reserved);
            reserved = 0;
        }
        cr_assert_leq(answer_store_figures(store).bytes, BOUND, "step %d", i);
    }
    cr_expect_gt(answer_store_figures(store).evictions, 1000);
    cr_expect_gt(entries(), 50);
    answer_store_unreserve(store, reserved);
    for (int i = 0; i < USED; i++)
        answer_store_release(store, &used[i]);
    answer_store_destroy(&store); // asserts that no byte is left
}
