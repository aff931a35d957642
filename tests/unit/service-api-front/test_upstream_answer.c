#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "upstream_answer.h"

static struct arena_pool pool;
static struct arena arena;
static struct upstream_answer answer;
static char body[4096];
static size_t body_len;

static void on_body(void *arg, const char *bytes, size_t len)
{
    (void)arg;
    cr_assert_lt(body_len + len, sizeof(body));
    memcpy(body + body_len, bytes, len);
    body_len += len;
    body[body_len] = '\0';
}

static void begin(bool head_request)
{
    arena_fini(&arena);
    arena_init(&arena, &pool);
    body_len = 0;
    body[0] = '\0';
    upstream_answer_init(&answer, &arena, 40000, head_request, on_body, NULL);
}

static void init(void)
{
    arena_init(&arena, &pool);
    begin(false);
}

static void fini(void)
{
    arena_fini(&arena);
    arena_pool_fini(&pool);
}

TestSuite(upstream_answer, .init = init, .fini = fini);

// One byte at a time, so that every border inside a word is met.
static int feed(const char *text)
{
    for (; *text != '\0'; text++) {
        int r = upstream_answer_feed(&answer, text, 1);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

Test(upstream_answer, reads_head_and_body_in_any_pieces)
{
    static const char text[] =
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie:  b=2 \r\nX-Empty:\r\n"
        "Content-Length: 5\r\n\r\nhello";
    for (size_t cut = 1; cut < sizeof(text) - 1; cut++) {
        begin(false);
        cr_assert_eq(upstream_answer_feed(&answer, text, cut), 0);
        cr_assert_not(answer.complete);
        cr_assert_eq(upstream_answer_feed(&answer, text + cut, sizeof(text) - 1 - cut), 0);
        cr_assert(answer.complete && answer.reusable);
        cr_assert_eq(answer.status, 200);
        cr_assert_eq(answer.framing, ANSWER_BY_LENGTH);
        cr_assert_eq(answer.n_headers, 4);
        cr_assert_str_eq(answer.headers[0].name, "Set-Cookie");
        cr_assert_str_eq(answer.headers[0].value, "a=1");
        cr_assert_str_eq(answer.headers[1].name, "set-cookie");
        cr_assert_str_eq(answer.headers[1].value, "b=2");
        cr_assert_str_eq(answer.headers[2].value, "");
        cr_assert_str_eq(body, "hello");
    }
}

Test(upstream_answer, decodes_chunks_and_drops_trailers)
{
    cr_assert_eq(feed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                      "3;ext=1\r\nabc\r\n4\r\ndefg\r\n0\r\nX-Trailer: 1\r\n\r\n"),
                 0);
    cr_assert(answer.complete && answer.reusable);
    cr_assert_eq(answer.n_headers, 1);
    cr_assert_str_eq(body, "abcdefg");
}

Test(upstream_answer, skips_interim_answers)
{
    cr_assert_eq(feed("HTTP/1.1 100 Continue\r\nX-A: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n"
                      "HTTP/1.1 204 No Content\r\nX-B: 2\r\n\r\n"),
                 0);
    cr_assert(answer.complete);
    cr_assert_eq(answer.status, 204);
    cr_assert_eq(answer.n_headers, 1);
    cr_assert_str_eq(answer.headers[0].name, "X-B");
}

Test(upstream_answer, needs_no_body_for_head_204_and_304)
{
    begin(true);
    cr_assert_eq(feed("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"), 0);
    cr_assert(answer.complete && answer.reusable);
    cr_assert_eq(answer.length, 1000);
    begin(false);
    cr_assert_eq(feed("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"), 0);
    cr_assert(answer.complete);
    cr_assert_eq(answer.framing, ANSWER_NO_BODY);
}

Test(upstream_answer, ends_with_the_connection_when_nothing_else_ends_it)
{
    cr_assert_eq(feed("HTTP/1.0 200 OK\r\n\r\nabc"), 0);
    cr_assert_not(answer.complete);
    cr_assert_eq(answer.framing, ANSWER_OPEN);
    cr_assert_eq(upstream_answer_eof(&answer), 0);
    cr_assert(answer.complete);
    cr_assert_not(answer.reusable);
    cr_assert_str_eq(body, "abc");
}

Test(upstream_answer, tells_a_cut_answer_from_an_end)
{
    static const char *const texts[] = {
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        begin(false);
        cr_assert_eq(feed(texts[i]), 0, "%s", texts[i]);
        cr_assert_eq(upstream_answer_eof(&answer), -ECONNRESET, "%s", texts[i]);
    }
}

Test(upstream_answer, is_not_reusable_when_more_follows_or_it_closes)
{
    static const char more[] = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n";
    cr_assert_eq(upstream_answer_feed(&answer, more, sizeof(more) - 1), 0);
    cr_assert(answer.complete);
    cr_assert_not(answer.reusable);
    cr_assert_str_eq(body, "x");
    begin(false);
    cr_assert_eq(feed("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), 0);
    cr_assert(answer.complete);
    cr_assert_not(answer.reusable);
}

Test(upstream_answer, refuses_what_is_no_answer)
{
    static const char *const texts[] = {
        "GET / HTTP/1.1\r\n\r\n",
        "SSH-2.0-x\r\n",
        "HTTP/1.1 99 x\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nbad name: 1\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        begin(false);
        cr_assert_eq(feed(texts[i]), -EBADMSG, "%s", texts[i]);
        cr_assert_not(answer.complete, "%s", texts[i]);
    }
}

Test(upstream_answer, bounds_the_head)
{
    cr_assert_eq(feed("HTTP/1.1 200 OK\r\n"), 0);
    int r = 0;
    for (int i = 0; i < 600 && r == 0; i++) {
        char line[128];
        snprintf(line, sizeof(line), "X-%d: 012345678901234567890123456789\r\n", i);
        r = feed(line);
    }
    cr_assert_eq(r, -EMSGSIZE);
}

Test(upstream_answer, passes_32_kib_of_head)
{
    static char value[1024];
    memset(value, 'v', sizeof(value) - 1);
    cr_assert_eq(feed("HTTP/1.1 200 OK\r\n"), 0);
    for (int i = 0; i < 32; i++) {
        cr_assert_eq(feed("X-Big: "), 0);
        cr_assert_eq(feed(value), 0);
        cr_assert_eq(feed("\r\n"), 0);
    }
    cr_assert_eq(feed("Content-Length: 0\r\n\r\n"), 0);
    cr_assert(answer.complete);
    cr_assert_eq(answer.n_headers, 33);
    cr_assert_str_eq(answer.headers[31].value, value);
}

Test(upstream_answer, an_interim_answer_has_no_body_whatever_it_says)
{
    static const char *const framings[] = {"Content-Length: 5", "Transfer-Encoding: chunked"};
    for (size_t i = 0; i < 2; i++) {
        char text[200];
        begin(false);
        snprintf(text, sizeof(text), "HTTP/1.1 103 Early\r\n%s\r\n\r\n", framings[i]);
        cr_assert_eq(feed(text), 0);
        cr_assert_not(answer.head_complete);
        cr_assert_eq(feed("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), 0, "%s", framings[i]);
        cr_assert(answer.complete && answer.reusable);
        cr_assert_eq(answer.status, 200);
        cr_assert_str_eq(body, "ok");
        cr_assert_eq(answer.body_bytes, 2);
    }
}

Test(upstream_answer, interim_answers_are_bounded)
{
    for (unsigned i = 0; i < UPSTREAM_INTERIM_MAX; i++) {
        cr_assert_eq(feed("HTTP/1.1 100 Continue\r\n\r\n"), 0);
    }
    cr_assert_eq(feed("HTTP/1.1 100 Continue\r\n\r\n"), -EBADMSG);
}

// ---- by lines, as libcurl gives them ----------------------------------------------------------

static int lines(const char *const *texts)
{
    int r = 0;
    for (; *texts != NULL && r == 0; texts++) {
        r = upstream_answer_line(&answer, *texts, strlen(*texts));
    }
    return r;
}

Test(upstream_answer, lines_make_a_head_and_the_body_comes_unframed)
{
    const char *const head[] = {"HTTP/1.1 103 Early\r\n", "X-A: 0\r\n", "\r\n",
                                "HTTP/1.1 200 OK\r\n",    "X-A: 1\r\n", "X-A:2 \r\n",
                                "Content-Length: 5\r\n",  "\r\n",       NULL};
    cr_assert_eq(lines(head), 0);
    cr_assert(answer.head_complete && !answer.complete);
    cr_assert_eq(answer.n_headers, 3);
    cr_expect_str_eq(answer.headers[1].value, "2");
    upstream_answer_body(&answer, "12", 2);
    cr_expect_not(upstream_answer_is_whole(&answer));
    upstream_answer_body(&answer, "345", 3);
    cr_expect(upstream_answer_is_whole(&answer) && !answer.complete);
    cr_expect_eq(upstream_answer_line(&answer, "X-Trailer: 1\r\n", 14), 0);
    cr_expect_eq(answer.n_headers, 3);
    upstream_answer_end(&answer);
    cr_expect(answer.complete && !answer.reusable);
    cr_expect_str_eq(body, "12345");
}

Test(upstream_answer, lines_of_http_2)
{
    const char *const head[] = {"HTTP/2 404 \r\n", "x-a: 1\r\n", "\r\n", NULL};
    cr_assert_eq(lines(head), 0);
    cr_expect_eq(answer.status, 404);
    cr_expect_eq(answer.framing, ANSWER_OPEN);
    cr_expect_not(upstream_answer_is_whole(&answer), "only the end says so");
}

Test(upstream_answer, a_head_without_a_body_is_whole_and_not_yet_over)
{
    const char *const heads[][5] = {{"HTTP/1.1 204 No\r\n", "\r\n", NULL},
                                    {"HTTP/2 304 \r\n", "content-length: 7\r\n", "\r\n", NULL},
                                    {"HTTP/1.1 200 OK\r\n", "Content-Length: 0\r\n", "\r\n", NULL}};
    for (size_t i = 0; i < 3; i++) {
        begin(false);
        cr_assert_eq(lines(heads[i]), 0);
        cr_expect(upstream_answer_is_whole(&answer) && !answer.complete);
    }
}

Test(upstream_answer, lines_are_held_to_the_same_rules)
{
    const char *const bad[][5] = {
        {"HTTP/1.1 101 Switching\r\n", "\r\n", NULL},
        {"HTTP/1.1 200 OK\r\n", "Content-Length : 5\r\n", "\r\n", NULL},
        {"HTTP/1.1 200 OK\r\n", "Content-Length: 5\r\n", "Content-Length: 6\r\n", "\r\n", NULL},
        {"HTTP/3 200 OK\r\n", "\r\n", NULL}};
    for (size_t i = 0; i < 4; i++) {
        begin(false);
        cr_expect_eq(lines(bad[i]), -EBADMSG, "%s %s", bad[i][0], bad[i][1]);
    }
}
