#include "breaker/definition.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"

// The specification's three, whether or not an upstream of the name is configured.
static const struct {
    const char *name;
    uint64_t timeout_ms;
    uint32_t error_threshold_percent;
} named[] = {{"database", 5000, 30}, {"blockchain", 10000, 60}, {"email", 8000, 40}};

static const struct config_breaker no_overrides;

// See struct config_breaker: 0 is silence, all ones a 0 that was said.
static uint64_t either(uint64_t wanted, uint64_t otherwise)
{
    return wanted == UINT64_MAX ? 0 : wanted != 0 ? wanted : otherwise;
}

static uint32_t either32(uint32_t wanted, uint64_t otherwise)
{
    return wanted == UINT32_MAX ? 0 : wanted != 0 ? wanted : (uint32_t)otherwise;
}

static const struct config_upstream *upstream_of(const struct config_model *model, const char *name)
{
    for (size_t i = 0; i < model->n_upstreams; i++)
        if (strcmp(model->upstreams[i].name, name) == 0)
            return &model->upstreams[i];
    return NULL;
}

static bool serves_the_rest(const struct config_model *model, size_t upstream)
{
    for (size_t i = 0; i < model->n_routes; i++)
        if (model->routes[i].upstream == upstream && strcmp(model->routes[i].path, "/") == 0)
            return true;
    return false;
}

static void compile_one(const struct breakers_params *params, const char *name,
                        const struct config_breaker *overrides, uint64_t capacity,
                        struct breaker_definition *ret_item)
{
    uint64_t reset_ms = either(overrides->reset_timeout_ms, params->reset_timeout_ms);
    uint64_t reset_max_ms = either(overrides->reset_timeout_max_ms, params->reset_timeout_max_ms);
    struct breaker_definition item = {
        .timeout_ns = either(overrides->timeout_ms, params->timeout_ms) * NS_PER_MS,
        .reset_timeout_ns = reset_ms * NS_PER_MS,
        // A first open time beyond the bound is what was asked for; it just does not grow.
        .reset_timeout_max_ns = (reset_ms > reset_max_ms ? reset_ms : reset_max_ms) * NS_PER_MS,
        .rolling_timeout_ns =
            either(overrides->rolling_timeout_ms, params->rolling_timeout_ms) * NS_PER_MS,
        .probe_lease_ns = params->probe_lease_ms * NS_PER_MS,
        .permit_lease_ns = params->permit_lease_ms * NS_PER_MS,
        .slow_duration_ns =
            either(overrides->slow_duration_ms, params->slow_duration_ms) * NS_PER_MS,
        .ramp_ns = either(overrides->ramp_ms, params->ramp_ms) * NS_PER_MS,
        .rolling_buckets = either32(overrides->rolling_buckets, params->rolling_buckets),
        .error_threshold_percent =
            either32(overrides->error_threshold_percent, params->error_threshold_percent),
        .volume_threshold = either32(overrides->volume_threshold, params->volume_threshold),
        .slow_threshold_percent =
            either32(overrides->slow_threshold_percent, params->slow_threshold_percent),
        .consecutive = either32(overrides->consecutive, params->consecutive),
        .trip_exceeds = overrides->trip_at != 0 ? overrides->trip_at == TRIP_AT_EXCEED
                                                : TRIP_AT_REACH + params->trip_at == TRIP_AT_EXCEED,
        .reset_backoff_percent =
            either32(overrides->reset_backoff_percent, params->reset_backoff_percent),
        .probes = either32(overrides->probes, params->probes),
        .capacity = either32(overrides->capacity, capacity),
        .enabled = params->enabled,
    };
    memcpy(item.name, name, strnlen(name, BREAKER_NAME_MAX - 1));
    *ret_item = item;
}

static bool is_within(const struct breaker_definition *item, struct problems *problems)
{
    size_t before = problems->n;
    if (item->rolling_timeout_ns / NS_PER_MS < item->rolling_buckets)
        problems_add(
            problems,
            "breaker '%s': a rolling window of %llu ms in %u buckets leaves less than 1 ms "
            "for each; allowed are at least %u ms, or fewer buckets",
            item->name, (unsigned long long)(item->rolling_timeout_ns / NS_PER_MS),
            item->rolling_buckets, item->rolling_buckets);
    if (item->rolling_buckets > BREAKER_BUCKETS_MAX)
        problems_add(problems, "breaker '%s': %u buckets, allowed are 1 to %d", item->name,
                     item->rolling_buckets, BREAKER_BUCKETS_MAX);
    if (item->probes > 255)
        problems_add(problems, "breaker '%s': %u probes, allowed are 1 to 255", item->name,
                     item->probes);
    if (item->capacity > 65535)
        problems_add(problems, "breaker '%s': capacity %u, allowed is 1 to 65535", item->name,
                     item->capacity);
    if (item->error_threshold_percent > 100)
        problems_add(problems, "breaker '%s': error threshold %u percent, allowed is 1 to 100",
                     item->name, item->error_threshold_percent);
    return problems->n == before;
}

static bool is_named(const char *name)
{
    for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++)
        if (strcmp(named[i].name, name) == 0)
            return true;
    return false;
}

int breaker_compile(const struct breakers_params *params, const struct config_model *model,
                    struct problems *problems, struct breaker_definition_set *ret_set)
{
    struct breaker_definition_set set = {0};
    bool is_good = true;
    for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
        const struct config_upstream *upstream = upstream_of(model, named[i].name);
        struct config_breaker overrides = upstream ? upstream->breaker : no_overrides;
        overrides.timeout_ms = either(overrides.timeout_ms, named[i].timeout_ms);
        overrides.error_threshold_percent =
            either32(overrides.error_threshold_percent, named[i].error_threshold_percent);
        compile_one(params, named[i].name, &overrides, params->capacity, &set.items[set.n]);
        is_good &= is_within(&set.items[set.n++], problems);
    }
    for (size_t i = 0; i < model->n_upstreams; i++) {
        const struct config_upstream *upstream = &model->upstreams[i];
        if (is_named(upstream->name))
            continue;
        if (set.n == BREAKER_MAX) {
            problems_add(problems,
                         "upstreams: %zu upstreams need more than %d breakers (database, "
                         "blockchain and email always have one)",
                         model->n_upstreams, BREAKER_MAX);
            return -EINVAL;
        }
        uint64_t capacity = serves_the_rest(model, i) ? params->app_capacity : params->capacity;
        compile_one(params, upstream->name, &upstream->breaker, capacity, &set.items[set.n]);
        is_good &= is_within(&set.items[set.n++], problems);
    }
    if (!is_good)
        return -EINVAL;
    *ret_set = set;
    return 0;
}

static int find_any(const struct breaker_table *table, const char *name)
{
    for (uint64_t i = 0; i < table->n; i++)
        if (strcmp(table->items[i].name, name) == 0)
            return (int)i;
    return -ENOENT;
}

int definition_find(const struct breaker_table *table, const char *name)
{
    int index = find_any(table, name);
    return index >= 0 && table->items[index].retired ? -ENOENT : index;
}

int definition_merge(const struct breaker_table *old, const struct breaker_definition_set *set,
                     enum breaker_publish_rule rule, struct breaker_table *ret_table,
                     bool *ret_changed)
{
    struct breaker_table table = *old;
    for (uint64_t i = 0; i < table.n && rule == BREAKER_PUBLISH_REPLACE; i++)
        table.items[i].retired = 1;
    for (uint32_t i = 0; i < set->n; i++) {
        int index = find_any(&table, set->items[i].name);
        if (index >= 0 && rule == BREAKER_PUBLISH_IF_ABSENT && !table.items[index].retired)
            continue;
        if (index < 0 && table.n == BREAKER_MAX)
            return -ENOSPC;
        if (index < 0)
            index = (int)table.n++;
        table.items[index] = set->items[i];
        table.items[index].retired = 0;
    }
    *ret_changed = memcmp(&table, old, sizeof(table)) != 0;
    *ret_table = table;
    return 0;
}

static uint64_t within(uint64_t value, uint64_t min, uint64_t max)
{
    return value < min ? min : value > max ? max : value;
}

void definition_clamp(struct breaker_table *table)
{
    table->n = within(table->n, 0, BREAKER_MAX);
    for (size_t i = 0; i < BREAKER_MAX; i++) {
        struct breaker_definition *item = &table->items[i];
        item->name[BREAKER_NAME_MAX - 1] = '\0';
        item->reset_timeout_max_ns =
            within(item->reset_timeout_max_ns, NS_PER_MS, 86400 * NS_PER_S);
        item->reset_timeout_ns = within(item->reset_timeout_ns, 1, item->reset_timeout_max_ns);
        item->rolling_timeout_ns = within(item->rolling_timeout_ns, NS_PER_MS, 3600 * NS_PER_S);
        item->probe_lease_ns = within(item->probe_lease_ns, NS_PER_MS, 3600 * NS_PER_S);
        item->permit_lease_ns = within(item->permit_lease_ns, NS_PER_MS, 3600 * NS_PER_S);
        item->slow_duration_ns = within(item->slow_duration_ns, 0, 86400 * NS_PER_S);
        item->ramp_ns = within(item->ramp_ns, 0, 86400 * NS_PER_S);
        item->slow_threshold_percent = (uint32_t)within(item->slow_threshold_percent, 0, 100);
        item->trip_exceeds = item->trip_exceeds != 0;
        item->rolling_buckets = (uint32_t)within(item->rolling_buckets, 1, BREAKER_BUCKETS_MAX);
        item->error_threshold_percent = (uint32_t)within(item->error_threshold_percent, 1, 100);
        item->reset_backoff_percent = (uint32_t)within(item->reset_backoff_percent, 100, 1000);
        item->probes = (uint32_t)within(item->probes, 1, 255);
        item->capacity = (uint32_t)within(item->capacity, 1, 65535);
    }
}
