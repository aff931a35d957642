#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "check.h"
#include "counters.h"
#include "key_words.h"
#include "lease_wait.h"
#include "limit/key.h"
#include "limits.h"
#include "ratelimit_fields.h"
#include "valves.h"

#define PROBLEM_QUOTA "https://iana.org/assignments/http-problem-types#quota-exceeded"

static const char *header_of(const void *arg, const char *name, size_t *ret_len)
{
    const struct http_header *header = request_header(arg, name);
    if (header == NULL)
        return NULL;
    *ret_len = header->value_len;
    return header->value;
}

static void fill_facts(const struct request *request, uint32_t cost, struct limit_facts *facts)
{
    const struct identity *identity = &request->identity;
    *facts = (struct limit_facts){
        .client = identity->client,
        .subject = identity->subject,
        .subject_len = identity->subject_len,
        .api_key = identity->api_key,
        .api_key_len = identity->api_key_len,
        .path = request->path,
        .path_len = request->path_len,
        .route = request->match.route != NULL ? request->match.route->name : NULL,
        .method = request->method_bit,
        .tier = identity->tier,
        .tier_verified = identity->tier_verified,
        .region = identity->region,
        .cost = cost,
        .host = request->host,
        .host_len = strlen(request->host),
        .header = header_of,
        .header_arg = request,
    };
}

// For gcra the verdict speaks of the burst; what users are promised is a rate.
static uint64_t limit_of(const struct limit_policy *policy, const struct limit_charge *charge)
{
    if (policy->algorithm != LIMIT_GCRA || policy->burst == 0)
        return charge->limit;
    return charge->limit == policy->burst
               ? policy->limit
               : (uint64_t)((double)charge->limit * (double)policy->limit / (double)policy->burst);
}

static uint64_t less_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static size_t fill_items(const struct valves *valves, uint32_t cost,
                         const struct limit_verdict *verdict,
                         struct ratelimit_item items[LIMIT_MATCHED_MAX])
{
    size_t n = 0;
    for (unsigned i = 0; i < verdict->n; i++) {
        const struct limit_charge *charge = &verdict->charges[i];
        const struct limit_policy *policy = limit_policy_at(valves->limits, charge->policy);
        if (charge->shadow || policy == NULL) // a shadow policy changes nothing but its counters
            continue;
        items[n++] = (struct ratelimit_item){
            .policy = policy->name,
            .limit = limit_of(policy, charge),
            .remaining = less_of(charge->remaining, limit_of(policy, charge)),
            .cost = (uint64_t)(cost > 0 ? cost : 1) * (policy->cost > 0 ? policy->cost : 1),
            .window_ns = policy->window_ns,
            .reset_ns = charge->reset_ns,
            .violated = charge->denied,
            .concurrent = policy->algorithm == LIMIT_CONCURRENCY,
        };
    }
    return n;
}

static void add_field(void *arg, const char *name, const char *value)
{
    (void)request_add_answer_header(arg, name, value);
}

// What the violated policy with the longest wait counted this caller by, for people.
static void put_key(const struct request *request, const struct limit_facts *facts,
                    struct strbuf *members)
{
    const struct limit_verdict *verdict = &request->limits;
    const struct limit_policy *policy =
        verdict->denied_by < verdict->n
            ? limit_policy_at(request->valves->limits, verdict->charges[verdict->denied_by].policy)
            : NULL;
    if (policy == NULL || !verdict->charges[verdict->denied_by].denied)
        return;
    char words[KEY_WORDS_MAX][KEY_WORD_MAX];
    size_t n = key_words(policy, key_parts_of(facts, policy->key_parts), words);
    struct strbuf text = STRBUF_INIT;
    for (size_t i = 0; i < n; i++)
        strbuf_printf(&text, "%s%s", i > 0 ? ", " : "", words[i]);
    strbuf_puts(members, ",\"key\":");
    strbuf_json_string(members, strbuf_text(&text), text.len);
    strbuf_fini(&text);
}

void limits_add_retry_after(struct request *request)
{
    char seconds[24];
    (void)snprintf(seconds, sizeof(seconds), "%" PRIu64,
                   ratelimit_seconds(request->limits.retry_after_ns));
    (void)request_add_answer_header(request, "Retry-After", seconds);
}

static enum step answer_denied(struct request *request, const struct limit_facts *facts,
                               const struct ratelimit_item *items, size_t n, unsigned status)
{
    uint64_t retry_ns = request->limits.retry_after_ns;
    bool helps = retry_ns != LIMIT_NEVER;
    if (helps)
        limits_add_retry_after(request);
    // RFC 6585 4 forbids storing it; old caches need to be told.
    (void)request_add_answer_header(request, "Cache-Control", "no-store");
    struct strbuf *members = &request->valves->scratch;
    strbuf_clear(members);
    ratelimit_problem_members(items, n, retry_ns, members);
    put_key(request, facts, members);
    return answer_problem(request, status, "rate_limited", answer_title(status),
                          helps ? "A limit on requests is used up; violated-policies names it, key "
                                  "says what it counts by, and retry-after in how many seconds one "
                                  "request fits again."
                                : "A limit on requests takes no such request at all; "
                                  "violated-policies names it, key says what it counts by. No wait "
                                  "is known to help.",
                          PROBLEM_QUOTA, strbuf_ok(members) ? strbuf_text(members) : NULL);
}

// For a check: whoever knows 401 and 403 only gets that, and a word beside it.
static enum step answer_denied_network(struct request *request, unsigned denied_status)
{
    counters_add(request->valves, METRIC_INDEX_network_denied, 1);
    if (denied_status != 429)
        (void)request_add_answer_header(request, "X-Check-Refused", "network_denied");
    unsigned status = denied_status == 429 ? 403 : denied_status;
    return answer_problem(request, status, "network_denied", answer_title(status),
                          "Requests from this address are not taken.", NULL, NULL);
}

enum step limits_ask(struct request *request, uint32_t cost, unsigned denied_status)
{
    struct valves *valves = request->valves;
    if (!valves_limits_params(valves)->enabled)
        return STEP_NEXT;
    enum operator_word word =
        networks_judge(&valves->networks, &valves->operators, &request->identity.client);
    if (word != OPERATOR_SAYS_NOTHING)
        return word == OPERATOR_ALLOWS ? STEP_NEXT : answer_denied_network(request, denied_status);
    const struct config_route *route = request->match.route;
    if (route != NULL && route->cost == 0)
        return STEP_NEXT;
    uint64_t product = (uint64_t)cost * (route != NULL ? route->cost : 1);
    cost = product < UINT32_MAX ? (uint32_t)product : UINT32_MAX;
    struct limit_facts facts;
    fill_facts(request, cost, &facts);
    if (!lease_wait_decide(request, &facts))
        return STEP_WAITS;
    valves_follow_limits(valves);
    counters_limits(valves, &facts, &request->limits);
    top_count(valves->top, valves->limits, &facts, &request->limits);
    if (valves->limits_take_places && request->limits.admitted)
        limits_hold(request);
    struct ratelimit_item items[LIMIT_MATCHED_MAX];
    size_t n = fill_items(valves, cost, &request->limits, items);
    ratelimit_fields(items, n, valves->ratelimit_styles,
                     valves->ratelimit_styles & RATELIMIT_LEGACY ? clock_wall_ns() : 0,
                     &valves->scratch, add_field, request);
    if (lease_wait_denies(request))
        return lease_wait_answer_away(request, denied_status);
    return request->limits.admitted ? STEP_NEXT
                                    : answer_denied(request, &facts, items, n, denied_status);
}

enum step limits_apply(struct request *request)
{
    return limits_ask(request, 1, 429);
}
