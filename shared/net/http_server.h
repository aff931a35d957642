// A small HTTP listener inside the libuv loop, for side doors (/metrics of the agent, the advisor's
// answers): GET and HEAD only, one function answers everything. libmicrohttpd does the protocol;
// at most 64 connections, idle ones go after 10 s, slow ones after HTTP_SERVER_PATIENCE_MS. Not for
// the gateway's traffic. Errors: -errno. Thread: the loop's.
#ifndef VALVECHAIN_NET_HTTP_SERVER_H
#define VALVECHAIN_NET_HTTP_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/address.h"
#include "base/strbuf.h"

struct http_server;

struct http_question {         // texts live during the call
    const char *path;          // unescaped, without the query
    const char *accept;        // the Accept header, "" for none
    const char *if_none_match; // that header, "" for none
    struct address peer;
    const void *connection; // for http_question_argument
};
// A query argument's value, NULL for none ("" for one without a value).
const char *http_question_argument(const struct http_question *question, const char *name);

#define HTTP_ANSWER_FIELDS 8
struct http_field {
    const char *name, *value; // static texts
};
struct http_answer {
    unsigned status;                              // 200 before the call
    struct http_field fields[HTTP_ANSWER_FIELDS]; // more of the head; ended by a NULL name when
                                                  // fewer. Without Cache-Control: no-store
    const char *content_type; // "text/plain; charset=utf-8" before the call; a static text
    struct strbuf body;       // empty before the call; the server frees it
};
typedef void http_answer_fn(void *arg, const struct http_question *question,
                            struct http_answer *answer);

// Is it ADDRESS:PORT with a literal address, "127.0.0.1:9464", "[::1]:9464"? For a parameter's
// form.
bool http_address_is_valid(const char *text);
#define HTTP_ADDRESS_FORM                                                                          \
    .is_valid = http_address_is_valid, .allowed = "ADDRESS:PORT, for example 127.0.0.1:9464 or "   \
                                                  "[::1]:9464; port 0 opens nothing"

// -EINVAL: not of that form. Port 0: 0, and *ret_server is NULL, which the others accept.
int http_server_open(uv_loop_t *loop, const char *address, http_answer_fn *answer, void *arg,
                     struct http_server **ret_server);
// The loop must turn once more afterwards.
void http_server_close(struct http_server **server);
// So long a head may take from the connection's or the last answer's end, and so long an answer to
// be taken, however the bytes drip.
#define HTTP_SERVER_PATIENCE_MS 20000
// Ends connections that took longer; `now_ms` by the loop's clock. The server does it by itself.
void http_server_expire(struct http_server *server, uint64_t now_ms);
uint64_t http_server_requests(const struct http_server *server); // answered, since it was opened

#endif
