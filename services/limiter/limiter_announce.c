#include "limiter_announce.h"

#include "base/clock.h"

// protobuf-c's texts are not const, and it only reads them.
static char *text(const char *constant)
{
    return (char *)(uintptr_t)constant;
}

void limiter_announce(struct bus *bus, const struct limit_policy_set *set, uint64_t generation)
{
    Valvechain__V1__LimitPolicies message = VALVECHAIN__V1__LIMIT_POLICIES__INIT;
    Valvechain__V1__LimitPolicy items[LIMIT_POLICIES_MAX], *pointers[LIMIT_POLICIES_MAX];
    Valvechain__V1__Origin origin;

    bus_origin(bus, &origin);
    for (uint32_t i = 0; i < set->n; i++) {
        const struct limit_policy *policy = &set->policies[i];

        valvechain__v1__limit_policy__init(&items[i]);
        items[i].name = text(policy->name);
        items[i].algorithm = text(limit_algorithm_names[policy->algorithm]);
        items[i].mode = text(policy->mode == LIMIT_SHADOW ? "shadow" : "enforce");
        items[i].limit = policy->limit;
        items[i].window_ms = policy->window_ns / NS_PER_MS;
        pointers[i] = &items[i];
    }
    message.origin = &origin;
    message.generation = generation;
    message.n_policies = set->n;
    message.policies = pointers;
    bus_publish(bus, "limit.policies", &message.base);
}
