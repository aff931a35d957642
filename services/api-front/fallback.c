#include "fallback.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "counters.h"
#include "handover.h"
#include "last_good.h"
#include "mock.h"
#include "ratelimit_fields.h"
#include "rpc_call.h"
#include "valves.h"

// After a failure that opened nothing, trying again soon is right.
#define RETRY_SOON_NS NS_PER_S

static bool answer_mock(struct request *request, const struct config_fallback *fallback)
{
    struct mock_facts facts = {
        .request_id = request->request_id,
        .path = request->path,
        .path_len = request->path_len,
        .method_bit = request->method_bit,
        .body = request->body_complete ? request->body : NULL,
        .body_len = request->body_len,
    };
    struct strbuf body = STRBUF_INIT;
    int error = mock_render(fallback, &facts, &body);
    if (error != 0 || !strbuf_ok(&body)) {
        strbuf_fini(&body);
        return false;
    }
    request->fallback = "mock";
    request->source = ANSWER_FALLBACK;
    (void)request_add_answer_header(request, "Valvechain-Fallback", "mock");
    (void)request_add_answer_header(request, "Cache-Control", "no-store");
    counters_fallback(request->valves, "mock");
    const char *type = fallback->mock_content_type;
    (void)answer_text(request, fallback->mock_status != 0 ? fallback->mock_status : 200,
                      type != NULL ? type : "application/json", strbuf_text(&body), body.len);
    strbuf_fini(&body);
    return true;
}

struct error_text {
    unsigned status;
    const char *code, *title, *detail;
};

static struct error_text error_of(enum exchange_result why, enum breaker_grant grant)
{
    if (grant == BREAKER_REFUSED_OPEN)
        return (struct error_text){503, "circuit_open", "Service Unavailable",
                                   "The service behind this path fails; it gets no calls until it "
                                   "has had time to recover."};
    if (grant == BREAKER_REFUSED_RAMP)
        return (struct error_text){503, "circuit_recovering", "Service Unavailable",
                                   "The service behind this path has just recovered; it gets more "
                                   "calls step by step."};
    if (grant == BREAKER_REFUSED_FORCED)
        return (struct error_text){503, "circuit_forced_open", "Service Unavailable",
                                   "An operator has cut the service behind this path off."};
    if (grant == BREAKER_REFUSED_CAPACITY || why == EXCHANGE_POOL_FULL)
        return (struct error_text){503, "at_capacity", "Service Unavailable",
                                   "The service behind this path has as many calls as it may have "
                                   "at once."};
    switch (why) {
    case EXCHANGE_CONNECT_TIMEOUT:
    case EXCHANGE_FIRST_BYTE_TIMEOUT:
    case EXCHANGE_IDLE_TIMEOUT:
    case EXCHANGE_TOTAL_TIMEOUT:
        return (struct error_text){504, "upstream_timeout", "Gateway Timeout",
                                   "The service behind this path did not answer in time."};
    case EXCHANGE_CONNECT_FAILED:
    case EXCHANGE_NO_ADDRESS:
        return (struct error_text){502, "upstream_unreachable", "Bad Gateway",
                                   "The service behind this path cannot be reached."};
    case EXCHANGE_TLS_FAILED:
        return (struct error_text){502, "upstream_tls_failed", "Bad Gateway",
                                   "The service behind this path and the gateway do not trust "
                                   "each other's certificates, or have no TLS in common."};
    case EXCHANGE_ANSWERED:
    case EXCHANGE_RESET:
    case EXCHANGE_BAD_ANSWER:
    case EXCHANGE_HEAD_TOO_LARGE:
    case EXCHANGE_POOL_FULL:
    case EXCHANGE_CLIENT_GONE:
        break;
    }
    return (struct error_text){502, "upstream_bad_answer", "Bad Gateway",
                               "The service behind this path gave no complete, valid answer."};
}

// Such a request might have been kept for later, had its body not been too long to be read ahead.
static bool has_lost_its_body(const struct request *request)
{
    return request->body_passed && (request->method_bit & HTTP_WRITES) != 0 &&
           config_fallback_find(request->upstream, request->route, FALLBACK_QUEUE) != NULL;
}

static bool speaks_rpc(const struct request *request, const struct config_fallback *chain, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (chain[i].rpc_methods != NULL)
            return request->method_bit == HTTP_POST && request->body_complete;
    return false;
}

// A JSON-RPC caller understands errors of its own kind only. False: it is none.
static bool answer_rpc_error(struct request *request, const struct error_text *text,
                             const char *members)
{
    struct strbuf body = STRBUF_INIT, data = STRBUF_INIT;
    strbuf_printf(&data, "{\"code\":\"%s\",\"requestId\":", text->code);
    strbuf_json_string(&data, request->request_id, strlen(request->request_id));
    strbuf_printf(&data, ",%s}", members);
    bool is_rpc =
        strbuf_ok(&data) && rpc_error_body(request->body, request->body_len, RPC_SERVER_ERROR,
                                           text->detail, strbuf_text(&data), &body) == 0;
    if (is_rpc) {
        request->source = ANSWER_GATEWAY;
        request->problem_code = text->code; // one of our own constants
        (void)answer_text(request, text->status, "application/json", strbuf_text(&body), body.len);
    }
    strbuf_fini(&body);
    strbuf_fini(&data);
    return is_rpc;
}

static uint64_t add_retry_after(struct request *request, uint64_t retry_ns)
{
    char seconds[24];
    uint64_t wait_s = ratelimit_seconds(retry_ns > 0 ? retry_ns : RETRY_SOON_NS);
    (void)snprintf(seconds, sizeof(seconds), "%" PRIu64, wait_s);
    (void)request_add_answer_header(request, "Retry-After", seconds);
    return wait_s;
}

static enum step answer_error(struct request *request, const struct config_fallback *chain,
                              size_t n, struct error_text text, uint64_t retry_ns)
{
    struct strbuf members = STRBUF_INIT, detail = STRBUF_INIT;
    uint64_t wait_s = text.status == 503 ? add_retry_after(request, retry_ns) : 0;
    bool is_rpc = speaks_rpc(request, chain, n);
    strbuf_puts(&members, "\"upstream\":");
    strbuf_json_string(&members, request->upstream->name, strlen(request->upstream->name));
    if (wait_s > 0)
        strbuf_printf(&members, ",\"retry%cafter\":%" PRIu64, is_rpc ? '_' : '-', wait_s);
    if (has_lost_its_body(request)) {
        strbuf_puts(&members, ",\"queued\":false");
        strbuf_printf(&detail,
                      "%s It could not be kept for later: of a body of more than %d bytes a part "
                      "had gone to the service when its call failed.",
                      text.detail, REQUEST_BODY_KEPT_MAX);
        text.detail = strbuf_text(&detail);
    }
    counters_fallback(request->valves, "error");
    if (!is_rpc || !answer_rpc_error(request, &text, strbuf_text(&members)))
        (void)answer_problem(request, text.status, text.code, text.title, text.detail, NULL,
                             strbuf_ok(&members) ? strbuf_text(&members) : NULL);
    strbuf_fini(&members);
    strbuf_fini(&detail);
    return STEP_ANSWERED;
}

static bool answers(struct request *request, const struct config_fallback *fallback)
{
    static const char *const names[] = {
        [FALLBACK_MOCK] = "mock", [FALLBACK_QUEUE] = "queue", [FALLBACK_CACHE] = "cache"};
    bool answered = false;
    switch (fallback->kind) {
    case FALLBACK_ERROR: // its turn comes behind the others
        return false;
    case FALLBACK_MOCK:
        answered = answer_mock(request, fallback);
        break;
    case FALLBACK_QUEUE:
        answered = handover_start(request, fallback) == STEP_ANSWERED;
        break;
    case FALLBACK_CACHE:
        answered = last_good_answer(request, fallback);
        break;
    }
    if (!answered)
        counters_fallback_missed(request->valves, names[fallback->kind]);
    return answered;
}

bool fallback_tries(struct request *request)
{
    size_t n;
    const struct config_fallback *chain = config_fallbacks(request->upstream, request->route, &n);
    for (size_t i = 0; i < n; i++)
        if (answers(request, &chain[i]))
            return true;
    return false;
}

enum step fallback_answer(struct request *request, enum exchange_result why,
                          enum breaker_grant grant, uint64_t retry_ns)
{
    size_t n;
    const struct config_fallback *chain = config_fallbacks(request->upstream, request->route, &n);
    if (fallback_tries(request))
        return STEP_ANSWERED;
    return answer_error(request, chain, n, error_of(why, grant), retry_ns);
}

enum step fallback_error(struct request *request, unsigned status, const char *code,
                         const char *detail, const char *members)
{
    static const char *const titles[] = {"Bad Gateway", "Service Unavailable", "Gateway Timeout"};
    struct strbuf all = STRBUF_INIT;
    if (status == 503)
        (void)add_retry_after(request, 0);
    strbuf_puts(&all, "\"upstream\":");
    strbuf_json_string(&all, request->upstream->name, strlen(request->upstream->name));
    strbuf_printf(&all, "%s%s", members[0] != '\0' ? "," : "", members);
    counters_fallback(request->valves, "error");
    enum step step = answer_problem(request, status, code, titles[status - 502], detail, NULL,
                                    strbuf_ok(&all) ? strbuf_text(&all) : NULL);
    strbuf_fini(&all);
    return step;
}

// RFC 5861 4 names these four. A mock or the queue are for a service that is away, and here it has
// spoken.
static bool is_server_error(unsigned status)
{
    return status == 500 || status == 502 || status == 503 || status == 504;
}

bool fallback_replaces(struct request *request, unsigned status)
{
    size_t n;
    const struct config_fallback *chain = config_fallbacks(request->upstream, request->route, &n);
    for (size_t i = 0; i < n && is_server_error(status); i++)
        if (chain[i].kind == FALLBACK_CACHE && answers(request, &chain[i]))
            return true;
    return false;
}
