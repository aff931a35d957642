#include "action_plan.h"

bool action_plan_next(struct action_plan *plan, uint64_t now_ns, bool valid, uint32_t current,
                      uint32_t desired)
{
    if (!valid || plan->running)
        return false;
    if (!plan->seen)
        *plan = (struct action_plan){
            .seen = true, .done_known = true, .done = current, .wanted = current};
    if (desired != plan->wanted) {
        plan->wanted = desired;
        plan->failures = 0;
        plan->first_ns = now_ns;
        plan->next_ns = 0;
        plan->given_up = false;
    }
    plan->running = action_plan_is_behind(plan) && !plan->given_up && now_ns >= plan->next_ns;
    return plan->running;
}

static uint64_t pause_ns(uint32_t failures, uint64_t lot, uint64_t max_ns)
{
    uint64_t pause = ACTION_RETRY_FIRST_NS;
    for (uint32_t i = 1; i < failures && pause < max_ns; i++)
        pause *= 2;
    if (pause > max_ns)
        pause = max_ns;
    return pause / 2 + lot % (pause / 2 + 1);
}

enum action_verdict action_plan_end(struct action_plan *plan, uint64_t now_ns, bool ok,
                                    uint64_t retry_after_ns, uint64_t lot,
                                    const struct action_bounds *bounds)
{
    plan->running = false;
    plan->done_known = ok;
    if (ok) {
        plan->done = plan->wanted;
        plan->failures = 0;
        return ACTION_IN_FORCE;
    }
    plan->failures++;
    uint64_t pause = pause_ns(plan->failures, lot, bounds->retry_max_ns);
    if (retry_after_ns > bounds->retry_max_ns)
        retry_after_ns = bounds->retry_max_ns;
    plan->next_ns = now_ns + (pause > retry_after_ns ? pause : retry_after_ns);
    plan->given_up = plan->next_ns - plan->first_ns > bounds->retry_for_ns;
    return plan->given_up ? ACTION_GIVEN_UP : ACTION_AGAIN;
}

bool action_plan_is_behind(const struct action_plan *plan)
{
    return plan->seen && (!plan->done_known || plan->done != plan->wanted);
}
