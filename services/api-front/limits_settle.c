// What a request's limits owe when its answer is known, and when it is over.
#include "base/clock.h"
#include "base/parse.h"
#include "counters.h"
#include "exchange.h"
#include "lease_wait.h"
#include "limits.h"
#include "valves.h"

#define RENEW_INTERVAL_NS (LIMIT_HOLD_NS / 6)

// A reload may have come in between.
static const struct limit_policy *policy_of(const struct limit_view *view,
                                            const struct limit_charge *charge)
{
    const struct limit_policy *policy = limit_policy_at(view, charge->policy);
    if (policy != NULL && policy->identity == charge->identity)
        return policy;
    for (uint32_t i = 0; (policy = limit_policy_at(view, i)) != NULL; i++)
        if (policy->identity == charge->identity)
            return policy;
    return NULL;
}

// A request that its client leaves before the answer keeps its charge: a guess that nobody waited
// for was a guess.
static bool is_counted(const struct request *request, const struct limit_policy *policy)
{
    return !policy->failed_only || request->status == 401 || request->status == 403;
}

// The answer's header says the whole cost; some of it was charged on arrival.
static void settle_cost(struct request *request, const struct limit_policy *policy, uint32_t index)
{
    const struct limit_charge *charge = &request->limits.charges[index];
    const struct upstream_answer *answer = &request->exchange->answer;
    for (size_t i = 0; i < answer->n_headers; i++) {
        const struct http_header *header = &answer->headers[i];
        uint64_t cost;
        if (!http_name_is(header->name, header->name_len, policy->cost_header))
            continue;
        if (parse_u64_n(header->value, header->value_len, 0, UINT32_MAX, &cost) != 0)
            counters_add(request->valves, METRIC_INDEX_limit_cost_invalid, 1);
        else if (cost > charge->cost &&
                 limit_charge_late_at(request->valves->limits, &request->limits, index,
                                      (uint32_t)cost - charge->cost) != 0)
            counters_add(request->valves, METRIC_INDEX_limit_cost_lost, 1);
        return;
    }
}

void limits_settle(struct request *request)
{
    const struct limit_verdict *verdict = &request->limits;
    if (!verdict->admitted || request->limits_after.settled)
        return;
    request->limits_after.settled = true;
    for (uint32_t i = 0; i < verdict->n; i++) {
        const struct limit_charge *charge = &verdict->charges[i];
        const struct limit_policy *policy =
            charge->cost > 0 ? policy_of(request->valves->limits, charge) : NULL;
        if (policy == NULL)
            continue;
        if (!is_counted(request, policy))
            limit_refund_charge(request->valves->limits, &request->limits, i);
        else if (policy->cost_header[0] != '\0' && request->source == ANSWER_UPSTREAM)
            settle_cost(request, policy, i);
    }
    lease_wait_return(request);
}

bool limits_hide_header(const struct request *request, const char *name, size_t name_len)
{
    const struct valves *valves = request->valves;
    const struct limit_policy *policy;
    for (uint32_t i = 0;
         valves->limits_look_at_costs && (policy = limit_policy_at(valves->limits, i)) != NULL; i++)
        if (policy->cost_header[0] != '\0' && !policy->keep_cost_header &&
            http_name_is(name, name_len, policy->cost_header))
            return true;
    return false;
}

// ---- places held ----------------------------------------------------------------------------

void limits_hold(struct request *request)
{
    struct valves *valves = request->valves;
    struct limits_after *after = &request->limits_after;
    after->holds = true;
    after->previous = NULL;
    after->next = valves->holding;
    if (valves->holding != NULL)
        valves->holding->limits_after.previous = request;
    valves->holding = request;
}

void limits_end(struct request *request)
{
    struct limits_after *after = &request->limits_after;
    if (!after->holds)
        return;
    after->holds = false;
    if (after->previous != NULL)
        after->previous->limits_after.next = after->next;
    else
        request->valves->holding = after->next;
    if (after->next != NULL)
        after->next->limits_after.previous = after->previous;
    limit_release(request->valves->limits, &request->limits);
}

void limits_renew(struct valves *valves)
{
    if (valves->holding == NULL || clock_mono_ns() < valves->renew_at_ns)
        return;
    valves->renew_at_ns = clock_mono_ns() + RENEW_INTERVAL_NS;
    for (const struct request *request = valves->holding; request != NULL;
         request = request->limits_after.next)
        if (limit_renew(valves->limits, &request->limits) != 0)
            counters_add(valves, METRIC_INDEX_limit_holds_lost, 1);
}
