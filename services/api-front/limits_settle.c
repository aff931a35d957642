// What a request's limits owe when its answer is known.
#include <strings.h>

#include "base/parse.h"
#include "counters.h"
#include "exchange.h"
#include "lease_wait.h"
#include "limits.h"
#include "valves.h"

// A request that its client leaves before the answer keeps its charge: a guess that nobody waited
// for was a guess.
static void settle_failed_only(struct request *request, uint32_t index)
{
    if (request->status != 401 && request->status != 403)
        limit_refund_charge(request->valves->limits, &request->limits, index);
}

void limits_settle(struct request *request)
{
    const struct limit_verdict *verdict = &request->limits;
    struct valves *valves = request->valves;
    if (!verdict->admitted || request->limits_settled ||
        verdict->generation != limit_generation(valves->limits))
        return;
    request->limits_settled = true;
    for (uint32_t i = 0; i < verdict->n; i++) {
        const struct limit_policy *policy =
            limit_policy_at(valves->limits, verdict->charges[i].policy);
        if (policy != NULL && policy->failed_only)
            settle_failed_only(request, i);
    }
    lease_wait_return(request);
}

bool limits_hide_header(const struct request *request, const char *name, size_t name_len)
{
    const struct valves *valves = request->valves;
    const struct limit_policy *policy;
    for (uint32_t i = 0;
         valves->limits_look_at_costs && (policy = limit_policy_at(valves->limits, i)) != NULL; i++)
        if (!policy->keep_cost_header && http_name_is(name, name_len, policy->cost_header))
            return true;
    return false;
}
