#include "upstream_answer.h"

#include <assert.h>
#include <errno.h>
#include <http_parser.h>
#include <string.h>

#define TEXT_FIRST_BYTES 2048
#define SPANS_FIRST      32

static_assert(sizeof(http_parser) <= UPSTREAM_PARSER_BYTES, "the parser fits");

static http_parser *parser_of(struct upstream_answer *answer)
{
    return (http_parser *)answer->parser;
}

static struct upstream_answer *owner(http_parser *parser)
{
    return parser->data;
}

static int fail(struct upstream_answer *answer, int error)
{
    answer->error = error;
    return 1;
}

static int text_reserve(struct upstream_answer *answer, size_t more)
{
    size_t need = answer->text_len + more;
    if (need > answer->text_max) {
        return -EMSGSIZE;
    }
    if (need <= answer->text_cap) {
        return 0;
    }
    size_t cap = answer->text_cap == 0 ? TEXT_FIRST_BYTES : answer->text_cap;
    while (cap < need) {
        cap *= 2;
    }
    char *text = arena_alloc(answer->arena, cap);
    if (text == NULL) {
        return -ENOMEM;
    }
    if (answer->text_len > 0) {
        memcpy(text, answer->text, answer->text_len);
    }
    answer->text = text;
    answer->text_cap = cap;
    return 0;
}

static int text_append(struct upstream_answer *answer, const char *bytes, size_t len)
{
    int r = text_reserve(answer, len + 1); // and the NUL that ends it
    if (r < 0) {
        return r;
    }
    memcpy(answer->text + answer->text_len, bytes, len);
    answer->text_len += len;
    answer->text[answer->text_len] = '\0';
    return 0;
}

static int begin_line(struct upstream_answer *answer)
{
    if (answer->n_spans == answer->spans_cap) {
        size_t cap = answer->spans_cap == 0 ? SPANS_FIRST : answer->spans_cap * 2;
        if (cap > UPSTREAM_ANSWER_HEADERS_MAX) {
            return -EMSGSIZE;
        }
        struct answer_span *spans = arena_alloc(answer->arena, cap * sizeof(*spans));
        if (spans == NULL) {
            return -ENOMEM;
        }
        if (answer->n_spans > 0) {
            memcpy(spans, answer->spans, answer->n_spans * sizeof(*spans));
        }
        answer->spans = spans;
        answer->spans_cap = cap;
    }
    answer->text_len += answer->text_len > 0 ? 1 : 0; // behind the last text's NUL
    answer->spans[answer->n_spans++] = (struct answer_span){.name = (uint32_t)answer->text_len};
    answer->in_value = false;
    return 0;
}

static int on_header_field(http_parser *parser, const char *at, size_t len)
{
    struct upstream_answer *answer = owner(parser);
    if (answer->head_complete) {
        return 0; // a trailer
    }
    int r = answer->n_spans == 0 || answer->in_value ? begin_line(answer) : 0;
    if (r == 0) {
        r = text_append(answer, at, len);
    }
    if (r < 0) {
        return fail(answer, r);
    }
    answer->spans[answer->n_spans - 1].name_len += (uint32_t)len;
    return 0;
}

static int on_header_value(http_parser *parser, const char *at, size_t len)
{
    struct upstream_answer *answer = owner(parser);
    if (answer->head_complete || answer->n_spans == 0) {
        return 0;
    }
    struct answer_span *span = &answer->spans[answer->n_spans - 1];
    if (!answer->in_value) {
        answer->text_len++; // keep the name's NUL
        span->value = (uint32_t)answer->text_len;
        answer->in_value = true;
    }
    int r = text_append(answer, at, len);
    if (r < 0) {
        return fail(answer, r);
    }
    span->value_len += (uint32_t)len;
    return 0;
}

static int make_headers(struct upstream_answer *answer)
{
    size_t n = answer->n_spans;
    answer->headers = arena_alloc(answer->arena, (n > 0 ? n : 1) * sizeof(*answer->headers));
    if (answer->headers == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        const struct answer_span *span = &answer->spans[i];
        // Debian's http_parser is not strict: "Content-Length : 5" would frame the body for it
        // alone.
        if (!http_is_token(answer->text + span->name, span->name_len)) {
            return -EBADMSG;
        }
        size_t value_len = span->value_len;
        char *value = value_len > 0 ? answer->text + span->value : NULL;
        while (value_len > 0 && (value[value_len - 1] == ' ' || value[value_len - 1] == '\t')) {
            value[--value_len] = '\0';
        }
        answer->headers[i] = (struct http_header){
            .name = answer->text + span->name,
            .name_len = span->name_len,
            .value = value_len > 0 ? value : "",
            .value_len = value_len,
        };
    }
    answer->n_headers = n;
    return 0;
}

// http_parser takes 0 (a body may follow), 1 (none does), 2 (upgrade); all else is an error.
#define HEAD_REFUSED 3

static int on_headers_complete(http_parser *parser)
{
    struct upstream_answer *answer = owner(parser);
    if (parser->status_code < 200) {
        if (parser->status_code == 101 || parser->status_code < 100) {
            answer->error = -EBADMSG; // nobody asked for another protocol
            return HEAD_REFUSED;
        }
        if (++answer->n_interim > UPSTREAM_INTERIM_MAX) {
            answer->error = -EBADMSG;
            return HEAD_REFUSED;
        }
        return 1; // forgotten; it has no body, whatever it says (RFC 9112 6.3)
    }
    int r = parser->status_code > 999 || parser->http_major != 1 ? -EBADMSG : make_headers(answer);
    if (r == 0) {
        answer->status = parser->status_code;
        answer->framing = answer_header_framing(answer->headers, answer->n_headers, answer->status,
                                                answer->head_request, &answer->length);
        r = answer->framing == ANSWER_BAD || parser->upgrade ? -EBADMSG : 0;
    }
    if (r < 0) {
        answer->error = r;
        return HEAD_REFUSED;
    }
    answer->head_complete = true;
    return answer->framing == ANSWER_NO_BODY ? 1 : 0;
}

static int on_body(http_parser *parser, const char *at, size_t len)
{
    struct upstream_answer *answer = owner(parser);
    if (!answer->head_complete) {
        return 0;
    }
    answer->body_bytes += len;
    answer->on_body(answer->arg, at, len);
    return 0;
}

static int on_message_complete(http_parser *parser)
{
    struct upstream_answer *answer = owner(parser);
    if (!answer->head_complete) { // an interim answer ends: begin anew
        answer->n_spans = 0;
        answer->text_len = 0;
        answer->in_value = false;
        return 0;
    }
    answer->complete = true;
    answer->reusable = http_should_keep_alive(parser) != 0;
    http_parser_pause(parser, 1); // nothing may follow
    return 0;
}

static const http_parser_settings settings = {
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

void upstream_answer_init(struct upstream_answer *answer, struct arena *arena, size_t text_max,
                          bool head_request, upstream_body_fn *on_body_piece, void *arg)
{
    memset(answer, 0, sizeof(*answer));
    http_parser_init(parser_of(answer), HTTP_RESPONSE);
    parser_of(answer)->data = answer;
    answer->arena = arena;
    answer->text_max = text_max;
    answer->head_request = head_request;
    answer->on_body = on_body_piece;
    answer->arg = arg;
    answer->length = UINT64_MAX;
}

int upstream_answer_feed(struct upstream_answer *answer, const char *bytes, size_t len)
{
    if (answer->error != 0) {
        return answer->error;
    }
    if (answer->complete) {
        answer->reusable = answer->reusable && len == 0;
        return 0;
    }
    size_t eaten = http_parser_execute(parser_of(answer), &settings, bytes, len);
    enum http_errno error = HTTP_PARSER_ERRNO(parser_of(answer));
    if (answer->complete) {
        // The pause takes effect behind the last byte that was looked at.
        answer->reusable = answer->reusable && eaten >= len;
        return 0;
    }
    if (error != HPE_OK || parser_of(answer)->upgrade) {
        if (answer->error == 0) {
            answer->error = error == HPE_HEADER_OVERFLOW ? -EMSGSIZE : -EBADMSG;
        }
        return answer->error;
    }
    return 0;
}

int upstream_answer_eof(struct upstream_answer *answer)
{
    if (answer->complete) {
        answer->reusable = false;
        return 0;
    }
    if (answer->error == 0 && answer->head_complete) {
        http_parser_execute(parser_of(answer), &settings, NULL, 0);
        if (answer->complete) {
            answer->reusable = false;
            return 0;
        }
    }
    return -ECONNRESET;
}

// "HTTP/2 200 " is read as "HTTP/1.1 200 ": only the version differs.
static int feed_status_line(struct upstream_answer *answer, const char *line, size_t len)
{
    static const char version[] = "HTTP/1.1";
    const char *rest = memchr(line, ' ', len);
    if (rest == NULL) {
        return -EBADMSG;
    }
    int r = upstream_answer_feed(answer, version, sizeof(version) - 1);
    return r < 0 ? r : upstream_answer_feed(answer, rest, len - (size_t)(rest - line));
}

int upstream_answer_line(struct upstream_answer *answer, const char *line, size_t len)
{
    if (answer->head_complete) {
        return 0;
    }
    int r = len > 7 && memcmp(line, "HTTP/2 ", 7) == 0 ? feed_status_line(answer, line, len)
                                                       : upstream_answer_feed(answer, line, len);
    answer->complete = false; // that it has no body is not yet that it is over
    return r;
}

void upstream_answer_body(struct upstream_answer *answer, const char *bytes, size_t len)
{
    answer->body_bytes += len;
    answer->on_body(answer->arg, bytes, len);
}

bool upstream_answer_is_whole(const struct upstream_answer *answer)
{
    return answer->head_complete &&
           (answer->framing == ANSWER_NO_BODY ||
            (answer->framing == ANSWER_BY_LENGTH && answer->body_bytes >= answer->length));
}

void upstream_answer_end(struct upstream_answer *answer)
{
    answer->complete = true;
    answer->reusable = false;
}
