// The answer of an upstream, read by http-parser: collects the head, hands the body on piece by
// piece, says how the answer is framed and when it is complete. Interim answers (1xx) are skipped,
// trailers are dropped.
// Pure but for its memory, which is the request's. Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_UPSTREAM_ANSWER_H
#define VALVECHAIN_API_FRONT_UPSTREAM_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "answer_header.h"
#include "arena.h"
#include "http_syntax.h"

#define UPSTREAM_ANSWER_HEADERS_MAX 512 // lines
#define UPSTREAM_PARSER_BYTES       32
#define UPSTREAM_INTERIM_MAX        16 // 1xx answers to one request

// `bytes` are valid during the call only. All of them must be taken.
typedef void upstream_body_fn(void *arg, const char *bytes, size_t len);

struct answer_span { // one header line inside `text`
    uint32_t name, name_len, value, value_len;
};

struct upstream_answer {
    // An http_parser; its header cannot be included where config/model.h is (HTTP_GET and others).
    _Alignas(8) unsigned char parser[UPSTREAM_PARSER_BYTES];
    struct arena *arena;
    upstream_body_fn *on_body;
    void *arg;
    char *text; // names and values, each NUL-terminated
    size_t text_len, text_cap, text_max;
    struct answer_span *spans;
    size_t n_spans, spans_cap;
    bool in_value;
    bool head_request;
    unsigned n_interim;
    int error; // sticky
    // What is known. headers[] is filled when the head is complete.
    bool head_complete, complete;
    bool reusable; // the connection may carry another call
    unsigned status;
    enum answer_framing framing;
    uint64_t length; // see answer_header_framing
    struct http_header *headers;
    size_t n_headers;
    uint64_t body_bytes;
};

// `text_max`: bound of all names and values together.
void upstream_answer_init(struct upstream_answer *answer, struct arena *arena, size_t text_max,
                          bool head_request, upstream_body_fn *on_body, void *arg);
// 0, -EBADMSG (not an HTTP/1.x answer, framed in two ways, or too many interim ones), -EMSGSIZE
// (head too large), -ENOMEM. Bytes behind the end of the answer make the connection not reusable.
int upstream_answer_feed(struct upstream_answer *answer, const char *bytes, size_t len);
// The upstream has closed. 0 when that ends the answer properly, else -ECONNRESET.
int upstream_answer_eof(struct upstream_answer *answer);

// For a transport that takes the framing off by itself (libcurl). One line of a head as it came, of
// HTTP/2 too, the empty one that ends it included; errors as above. Lines behind the head are
// trailers, and dropped.
int upstream_answer_line(struct upstream_answer *answer, const char *line, size_t len);
void upstream_answer_body(struct upstream_answer *answer, const char *bytes, size_t len);
// As many bytes as the head states are here, or it states that none come.
bool upstream_answer_is_whole(const struct upstream_answer *answer);
// All of it is here.
void upstream_answer_end(struct upstream_answer *answer);

#endif
