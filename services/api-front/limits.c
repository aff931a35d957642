#include <inttypes.h>
#include <stdio.h>

#include "check.h"
#include "counters.h"
#include "ratelimit_fields.h"
#include "request.h"
#include "valves.h"

#define PROBLEM_QUOTA "https://iana.org/assignments/http-problem-types#quota-exceeded"

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
        .method = request->method_bit,
        .tier = identity->tier,
        .tier_verified = identity->tier_verified,
        .region = identity->region,
        .cost = cost,
    };
}

// What the policy counted this caller by, for people.
static const char *key_kind(uint32_t parts, const struct limit_facts *facts)
{
    if ((parts & LIMIT_KEY_SUBJECT) != 0)
        return "subject";
    if ((parts & LIMIT_KEY_API_KEY) != 0)
        return "api-key";
    if ((parts & LIMIT_KEY_CALLER) != 0 && facts->subject_len > 0)
        return "subject";
    if ((parts & LIMIT_KEY_CALLER) != 0 && facts->api_key_len > 0)
        return "api-key";
    if ((parts & (LIMIT_KEY_CALLER | LIMIT_KEY_CLIENT)) != 0)
        return "client-address";
    return "route";
}

static size_t fill_items(const struct valves *valves, const struct limit_facts *facts,
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
            .key = key_kind(policy->key_parts, facts),
            .limit = charge->limit,
            .remaining = charge->remaining,
            .window_ns = policy->window_ns,
            .reset_ns = charge->reset_ns,
            .violated = charge->denied,
        };
    }
    return n;
}

static void add_fields(struct request *request, const struct ratelimit_item *items, size_t n)
{
    struct strbuf *text = &request->valves->scratch;
    strbuf_clear(text);
    ratelimit_policy_field(items, n, text);
    if (strbuf_ok(text))
        (void)request_add_answer_header(request, "RateLimit-Policy", strbuf_text(text));
    strbuf_clear(text);
    ratelimit_field(items, n, text);
    if (strbuf_ok(text))
        (void)request_add_answer_header(request, "RateLimit", strbuf_text(text));
}

static enum step answer_denied(struct request *request, const struct ratelimit_item *items,
                               size_t n, unsigned status)
{
    uint64_t retry_ns = request->limits.retry_after_ns;
    char seconds[24];
    (void)snprintf(seconds, sizeof(seconds), "%" PRIu64, ratelimit_seconds(retry_ns));
    (void)request_add_answer_header(request, "Retry-After", seconds);
    // RFC 6585 4 forbids storing it; old caches need to be told.
    (void)request_add_answer_header(request, "Cache-Control", "no-store");
    struct strbuf *members = &request->valves->scratch;
    strbuf_clear(members);
    ratelimit_problem_members(items, n, retry_ns, members);
    return answer_problem(request, status, "rate_limited", "Too Many Requests",
                          "A limit on requests is used up; violated-policies names it, and "
                          "retry-after says in how many seconds one request fits again.",
                          PROBLEM_QUOTA, strbuf_ok(members) ? strbuf_text(members) : NULL);
}

enum step limits_ask(struct request *request, uint32_t cost, unsigned denied_status)
{
    struct valves *valves = request->valves;
    if (!valves_limits_params(valves)->enabled)
        return STEP_NEXT;
    struct limit_facts facts;
    fill_facts(request, cost, &facts);
    limit_decide(valves->limits, &facts, &request->limits);
    if (request->limits.generation != valves->limits_generation) {
        counters_add_policies(valves->counters, valves->limits);
        valves->limits_generation = request->limits.generation;
    }
    counters_limits(valves, &facts, &request->limits);
    struct ratelimit_item items[LIMIT_MATCHED_MAX];
    size_t n = fill_items(valves, &facts, &request->limits, items);
    if (n > 0)
        add_fields(request, items, n);
    return request->limits.admitted ? STEP_NEXT : answer_denied(request, items, n, denied_status);
}

enum step limits_apply(struct request *request)
{
    return limits_ask(request, 1, 429);
}
