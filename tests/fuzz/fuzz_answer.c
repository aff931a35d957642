// fuzz-links: service_api-front
// An upstream's answer through the parser glue, once in one piece and once byte by byte: both must
// say the same, whatever comes. Input: a byte (bit 0: the request was HEAD), then the answer.
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "upstream_answer.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

struct reading {
    struct arena_pool pool;
    struct arena arena;
    struct upstream_answer answer;
    unsigned char *body;
    size_t body_len, body_cap;
    int error;
};

static void on_body(void *arg, const char *bytes, size_t len)
{
    struct reading *reading = arg;
    ASSERT(len <= reading->body_cap - reading->body_len);
    memcpy(reading->body + reading->body_len, bytes, len);
    reading->body_len += len;
}

static void read_all(struct reading *reading, const unsigned char *data, size_t size, bool head,
                     size_t piece)
{
    memset(reading, 0, sizeof(*reading));
    arena_init(&reading->arena, &reading->pool);
    reading->body_cap = size;
    reading->body = malloc(size > 0 ? size : 1);
    ASSERT(reading->body != NULL);
    upstream_answer_init(&reading->answer, &reading->arena, 20000, head, on_body, reading);
    for (size_t at = 0; at < size && reading->error == 0; at += piece) {
        size_t len = size - at < piece ? size - at : piece;
        reading->error = upstream_answer_feed(&reading->answer, (const char *)data + at, len);
    }
    if (reading->error == 0)
        reading->error = upstream_answer_eof(&reading->answer);
}

static void check_headers(const struct upstream_answer *answer)
{
    for (size_t i = 0; i < answer->n_headers; i++) {
        const struct http_header *h = &answer->headers[i];
        ASSERT(strlen(h->name) == h->name_len && http_is_token(h->name, h->name_len));
        ASSERT(h->value[h->value_len] == '\0');
        if (answer_header_passes(answer->headers, answer->n_headers, i))
            ASSERT(strpbrk(h->value, "\r\n") == NULL && strlen(h->value) == h->value_len);
    }
}

static void check_same(const struct reading *a, const struct reading *b)
{
    ASSERT((a->error == 0) == (b->error == 0));
    if (a->error != 0)
        return;
    ASSERT(a->answer.complete && b->answer.complete);
    ASSERT(a->answer.status == b->answer.status && a->answer.framing == b->answer.framing);
    ASSERT(a->answer.length == b->answer.length && a->answer.n_headers == b->answer.n_headers);
    ASSERT(a->body_len == b->body_len && memcmp(a->body, b->body, a->body_len) == 0);
    ASSERT(a->answer.framing != ANSWER_BY_LENGTH || a->body_len == a->answer.length);
    ASSERT(a->answer.framing != ANSWER_NO_BODY || a->body_len == 0);
    check_headers(&a->answer);
}

static void end(struct reading *reading)
{
    free(reading->body);
    arena_fini(&reading->arena);
    arena_pool_fini(&reading->pool);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static struct reading whole, pieces;
    if (size == 0)
        return 0;
    bool head = (data[0] & 1) != 0;
    read_all(&whole, data + 1, size - 1, head, size);
    read_all(&pieces, data + 1, size - 1, head, 1);
    check_same(&whole, &pieces);
    end(&whole);
    end(&pieces);
    return 0;
}
