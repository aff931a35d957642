// JSON-RPC reads: each call's answer is kept apart, without its id, so that batches are put
// together from what single calls and other batches have brought.
#include <stdlib.h>
#include <string.h>

#include "counters.h"
#include "last_good_parts.h"
#include "rpc_call.h"
#include "valves.h"

static bool call_key(const struct request *request, const json_t *call, struct answer_key *ret_key)
{
    char *params = rpc_params_text(call);
    if (params == NULL)
        return false;
    last_good_key(request, json_string_value(json_object_get(call, "method")), params, ret_key);
    free(params);
    return true;
}

static void keep_call(struct request *request, const json_t *call, const json_t *answers,
                      struct answer_record *record)
{
    const json_t *answer = rpc_answer_to(answers, json_object_get(call, "id"));
    enum counters_cache result = COUNTERS_CACHE_NOT_ALLOWED;
    char *body = rpc_is_good(answer) ? rpc_without_id(answer) : NULL;
    if (body != NULL && call_key(request, call, &record->key)) {
        record->body = body;
        record->body_len = strlen(body) + 1; // its NUL is part of it
        result = answer_store_put(request->valves->store, record) == 0 ? COUNTERS_CACHE_KEPT
                                                                       : COUNTERS_CACHE_TOO_LARGE;
    }
    if (result != COUNTERS_CACHE_KEPT)
        free(body);
    counters_cache(request->valves, result);
}

void last_good_keep_rpc(struct request *request, const struct config_fallback *fallback,
                        const struct upstream_answer *answer, const char *body, size_t len)
{
    struct answer_record record = {0};
    struct strbuf vary = STRBUF_INIT;
    json_t *calls = rpc_parse(request->body, request->body_len);
    json_t *answers = rpc_parse(body, len);
    bool may = calls != NULL && answers != NULL && json_is_array(calls) == json_is_array(answers) &&
               last_good_record(request, answer, &vary, &record);
    for (size_t i = 0; may && i < rpc_count(calls); i++)
        if (rpc_is_call_of(rpc_at(calls, i), fallback->rpc_methods))
            keep_call(request, rpc_at(calls, i), answers, &record);
    json_decref(calls);
    json_decref(answers);
    strbuf_fini(&vary);
}

struct composed { // of kept answers
    struct strbuf body;
    uint64_t age_s, stale_age_s; // of the oldest
};

static bool add_call(struct request *request, const struct config_fallback *fallback,
                     const json_t *call, const struct rpc_id *id, struct composed *composed)
{
    struct answer_key key;
    if (!rpc_is_call_of(call, fallback->rpc_methods) || !call_key(request, call, &key))
        return false;
    struct stored_answer *stored = last_good_find(request, &key, fallback);
    if (stored == NULL)
        return false;
    uint64_t resident_s = last_good_resident_s(stored);
    uint64_t age_s = cache_age_s(&stored->terms, resident_s);
    uint64_t stale_s = cache_stale_age_s(&stored->terms, resident_s);
    composed->age_s = age_s > composed->age_s ? age_s : composed->age_s;
    composed->stale_age_s = stale_s > composed->stale_age_s ? stale_s : composed->stale_age_s;
    rpc_with_id(call, id, stored->body, &composed->body);
    answer_store_release(request->valves->store, &stored);
    // A batch may ask for one large answer many times.
    return strbuf_ok(&composed->body) &&
           composed->body.len <= valves_front_params(request->valves)->cache_entry_max_bytes;
}

bool last_good_answer_rpc(struct request *request, const struct config_fallback *fallback)
{
    struct composed composed = {.body = STRBUF_INIT};
    json_t *calls = request->body_complete ? rpc_parse(request->body, request->body_len) : NULL;
    struct rpc_ids ids = rpc_ids_of(request->body, request->body_len);
    bool found = calls != NULL;
    for (size_t i = 0; found && i < rpc_count(calls); i++) {
        if (json_is_array(calls))
            strbuf_puts(&composed.body, i == 0 ? "[" : ",");
        const struct rpc_id id = rpc_ids_next(&ids);
        found = add_call(request, fallback, rpc_at(calls, i), &id, &composed);
    }
    if (found && json_is_array(calls))
        strbuf_puts(&composed.body, "]");
    if (found && strbuf_ok(&composed.body)) {
        last_good_mark(request, composed.age_s, composed.stale_age_s);
        (void)request_add_answer_header(request, "Cache-Control", "no-store");
        (void)answer_text(request, 200, "application/json", strbuf_text(&composed.body),
                          composed.body.len);
    }
    found = found && strbuf_ok(&composed.body);
    json_decref(calls);
    strbuf_fini(&composed.body);
    return found;
}
