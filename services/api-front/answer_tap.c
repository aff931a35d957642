#include "answer_tap.h"

#include <stdlib.h>
#include <string.h>

#include "answer_store.h"
#include "counters.h"
#include "exchange.h"
#include "last_good.h"
#include "valves.h"

#define FIRST_BYTES 4096

void answer_tap_open(struct request *request)
{
    if (!last_good_looks_at(request))
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
    answer_store_unreserve(tap->request->valves->store, tap->cap);
    tap->bytes = NULL;
    tap->len = tap->cap = 0;
}

static void give_up(struct answer_tap *tap)
{
    tap->given_up = true;
    drop_bytes(tap);
    counters_cache(tap->request->valves, COUNTERS_CACHE_TOO_LARGE);
}

static void begin(struct answer_tap *tap, const struct upstream_answer *answer)
{
    drop_bytes(tap); // an earlier answer to this request was not taken
    tap->begun = true;
    tap->given_up = false;
    tap->keeps = last_good_begins(tap->request, answer);
}

static bool grow(struct answer_tap *tap, size_t needed, uint64_t stated)
{
    struct answer_store *store = tap->request->valves->store;
    uint64_t most = valves_front_params(tap->request->valves)->cache_entry_max_bytes;
    size_t cap = tap->cap > 0 ? tap->cap : FIRST_BYTES;
    while (cap < needed)
        cap *= 2;
    if (stated != UINT64_MAX && stated >= needed)
        cap = (size_t)stated;
    if (needed > most || (stated != UINT64_MAX && stated > most))
        return false;
    size_t more = cap - tap->cap;
    if (!answer_store_reserve(store, more))
        return false;
    char *bytes = realloc(tap->bytes, cap);
    if (bytes == NULL) {
        answer_store_unreserve(store, more);
        return false;
    }
    tap->bytes = bytes;
    tap->cap = cap;
    return true;
}

void answer_tap_piece(struct answer_tap *tap, const struct upstream_answer *answer,
                      const char *bytes, size_t len)
{
    if (!tap->begun || answer->body_bytes == len) // the first piece of it
        begin(tap, answer);
    if (!tap->keeps || tap->given_up)
        return;
    uint64_t stated = answer->framing == ANSWER_BY_LENGTH ? answer->length : UINT64_MAX;
    if (tap->len + len > tap->cap && !grow(tap, tap->len + len, stated)) {
        give_up(tap);
        return;
    }
    memcpy(tap->bytes + tap->len, bytes, len);
    tap->len += len;
}

void answer_tap_end(struct answer_tap *tap, bool whole)
{
    const struct upstream_answer *answer = &tap->request->exchange->answer;
    if (whole && answer->body_bytes == 0)
        begin(tap, answer);
    if (!tap->begun || !tap->keeps || tap->given_up)
        return;
    if (!whole || tap->len != answer->body_bytes) {
        counters_cache(tap->request->valves, COUNTERS_CACHE_INCOMPLETE);
        drop_bytes(tap);
        return;
    }
    // What was reserved becomes the store's own.
    answer_store_unreserve(tap->request->valves->store, tap->cap);
    last_good_keep(tap->request, answer, tap->bytes, tap->len);
    tap->bytes = NULL;
    tap->len = tap->cap = 0;
}

void answer_tap_close(struct answer_tap *tap)
{
    if (tap != NULL)
        drop_bytes(tap);
}
