#include "answer_tap.h"

#include <stdlib.h>
#include <string.h>

#include "answer_store.h"
#include "breaker/call_outcome.h"
#include "counters.h"
#include "exchange.h"
#include "last_good.h"
#include "valves.h"

#define FIRST_BYTES 4096

static bool may_judge(const struct request *request)
{
    return request->method_bit == HTTP_POST && request->upstream->outcomes.n_rpc > 0;
}

void answer_tap_open(struct request *request)
{
    if (!last_good_looks_at(request) && !may_judge(request))
        return;
    struct answer_tap *tap = request_alloc(request, sizeof(*tap));
    if (tap == NULL)
        return; // the answer is not kept, that is all
    *tap = (struct answer_tap){.request = request};
    request->tap = tap;
}

static void drop_bytes(struct answer_tap *tap)
{
    free(tap->bytes);
    answer_store_unreserve(tap->request->valves->store, tap->reserved);
    tap->bytes = NULL;
    tap->len = tap->cap = tap->reserved = 0;
}

static void begin(struct answer_tap *tap, const struct upstream_answer *answer)
{
    const struct request *request = tap->request;
    drop_bytes(tap); // an earlier answer to this request was not taken
    tap->begun = true;
    tap->seen = 0;
    tap->keeps = last_good_looks_at(request) && last_good_begins(tap->request, answer);
    tap->judges = may_judge(request) && answer->status >= 200 && answer->status < 300 &&
                  cache_header(answer->headers, answer->n_headers, "content-encoding") == NULL;
}

bool answer_tap_decides(struct answer_tap *tap, const struct upstream_answer *answer)
{
    if (!tap->begun)
        begin(tap, answer);
    return tap->judges;
}

static void keep_no_more(struct answer_tap *tap)
{
    if (!tap->keeps)
        return;
    tap->keeps = false;
    counters_cache(tap->request->valves, COUNTERS_CACHE_TOO_LARGE);
    answer_store_unreserve(tap->request->valves->store, tap->reserved);
    tap->reserved = 0;
}

static void judge_no_more(struct answer_tap *tap)
{
    if (!tap->judges)
        return;
    tap->judges = false;
    if (tap->request->answered)
        valve_judge(tap->request); // what a probe has waited for
}

static size_t next_cap(const struct answer_tap *tap, size_t needed, uint64_t stated)
{
    size_t cap = tap->cap > 0 ? tap->cap : FIRST_BYTES;
    while (cap < needed)
        cap *= 2;
    return stated != UINT64_MAX && stated >= needed && stated < cap ? (size_t)stated : cap;
}

// Makes room for `needed` bytes, for as many purposes as there can be.
static bool grow(struct answer_tap *tap, size_t needed, uint64_t stated)
{
    struct valves *valves = tap->request->valves;
    uint64_t most = valves_front_params(valves)->cache_entry_max_bytes;
    size_t cap = next_cap(tap, needed, stated);
    if (needed > most || (stated != UINT64_MAX && stated > most))
        keep_no_more(tap);
    if (needed > ANSWER_TAP_JUDGED_MAX)
        judge_no_more(tap);
    if (tap->keeps && !answer_store_reserve(valves->store, cap - tap->reserved))
        keep_no_more(tap);
    tap->reserved = tap->keeps ? cap : 0;
    char *bytes = tap->keeps || tap->judges ? realloc(tap->bytes, cap) : NULL;
    if (bytes == NULL) {
        keep_no_more(tap);
        judge_no_more(tap);
        drop_bytes(tap);
        return false;
    }
    tap->bytes = bytes;
    tap->cap = cap;
    return true;
}

void answer_tap_piece(struct answer_tap *tap, const struct upstream_answer *answer,
                      const char *bytes, size_t len)
{
    if (!tap->begun || answer->body_bytes != tap->seen + len) // of another answer than before
        begin(tap, answer);
    tap->seen += len;
    if ((!tap->keeps && !tap->judges) || len == 0)
        return;
    uint64_t stated = answer->framing == ANSWER_BY_LENGTH ? answer->length : UINT64_MAX;
    if (tap->len + len > tap->cap && !grow(tap, tap->len + len, stated))
        return;
    memcpy(tap->bytes + tap->len, bytes, len);
    tap->len += len;
}

void answer_tap_end(struct answer_tap *tap, bool whole, enum breaker_outcome outcome)
{
    const struct request *request = tap->request;
    const struct upstream_answer *answer = &request->exchange->answer;
    tap->outcome = outcome;
    if (whole && !tap->begun)
        begin(tap, answer);
    whole = whole && tap->begun && tap->len == answer->body_bytes;
    if (whole && tap->judges)
        tap->outcome =
            call_outcome_of_rpc(&request->upstream->outcomes, outcome, tap->bytes, tap->len);
    tap->judges = false;
    if (whole && tap->keeps) {
        // What was reserved becomes the store's own.
        answer_store_unreserve(request->valves->store, tap->reserved);
        last_good_keep(tap->request, answer, tap->bytes, tap->len);
        tap->bytes = NULL;
        tap->reserved = 0;
    } else if (tap->keeps) {
        counters_cache(request->valves, COUNTERS_CACHE_INCOMPLETE);
    }
    tap->keeps = false;
    drop_bytes(tap);
}

void answer_tap_close(struct answer_tap *tap)
{
    if (tap != NULL)
        drop_bytes(tap);
}
