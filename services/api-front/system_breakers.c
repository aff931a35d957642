// /api/circuit-breaker/stats: each breaker with its figures, why it changed last, and what the
// outbox keeps for it; the fallbacks by kind.
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "metric/metric.h"
#include "system.h"

const char *const system_breaker_health[BREAKER_STATES] = {
    [BREAKER_CLOSED] = "healthy",         [BREAKER_OPEN] = "unhealthy",
    [BREAKER_HALF_OPEN] = "degraded",     [BREAKER_FORCED_OPEN] = "unhealthy",
    [BREAKER_FORCED_CLOSED] = "degraded", [BREAKER_DISABLED] = "degraded",
    [BREAKER_OBSERVE] = "degraded",
};

static json_t *milliseconds(uint64_t ns)
{
    return json_integer((json_int_t)((ns + NS_PER_MS - 1) / NS_PER_MS));
}

static json_t *breaker_settings(struct valves *valves, uint32_t index)
{
    const struct breaker_definition *d = breaker_definition_at(valves->breakers, index);
    if (d == NULL)
        return json_null();
    return json_pack(
        "{s:o,s:i,s:s,s:i,s:o,s:i,s:i,s:o,s:i,s:o,s:o,s:i,s:i,s:o}", "timeoutMs",
        milliseconds(d->timeout_ns), "errorThresholdPercent", (int)d->error_threshold_percent,
        "tripAt", d->trip_exceeds ? "exceed" : "reach", "slowThresholdPercent",
        (int)d->slow_threshold_percent, "slowDurationMs", milliseconds(d->slow_duration_ns),
        "consecutive", (int)d->consecutive, "volumeThreshold", (int)d->volume_threshold,
        "rollingTimeoutMs", milliseconds(d->rolling_timeout_ns), "rollingBuckets",
        (int)d->rolling_buckets, "resetTimeoutMs", milliseconds(d->reset_timeout_ns),
        "resetTimeoutMaxMs", milliseconds(d->reset_timeout_max_ns), "resetBackoffPercent",
        (int)d->reset_backoff_percent, "probes", (int)d->probes, "rampMs",
        milliseconds(d->ramp_ns));
}

// Until the deadline of an open breaker or the end of a forced state; null without one.
static json_t *retry_ms(const struct breaker_status *status, uint64_t now_ns)
{
    if (status->deadline_ns == 0)
        return json_null();
    return milliseconds(status->deadline_ns > now_ns ? status->deadline_ns - now_ns : 0);
}

static json_t *breaker_window(const struct breaker_status *status)
{
    return json_pack("{s:I,s:I,s:I,s:I,s:i}", "successes", (json_int_t)status->window_successes,
                     "failures", (json_int_t)status->window_failures, "timeouts",
                     (json_int_t)status->window_timeouts, "slow", (json_int_t)status->window_slow,
                     "consecutiveFailures", (int)status->consecutive);
}

static json_t *breaker_totals(const struct breaker_status *status)
{
    return json_pack(
        "{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "opens", (json_int_t)status->total_opens,
        "successes", (json_int_t)status->total_successes, "failures",
        (json_int_t)status->total_failures, "timeouts", (json_int_t)status->total_timeouts, "slow",
        (json_int_t)status->total_slow, "ignored", (json_int_t)status->total_ignored, "probes",
        (json_int_t)status->total_probes, "refusedOpen", (json_int_t)status->total_refused_open,
        "refusedCapacity", (json_int_t)status->total_refused_capacity, "refusedRamp",
        (json_int_t)status->total_refused_ramp, "refusedForced",
        (json_int_t)status->total_refused_forced);
}

// Who set it and why; null for what the breaker entered by itself.
static json_t *breaker_command(const struct breaker_status *status)
{
    if (status->author[0] == '\0')
        return json_null();
    return json_pack("{s:s,s:s}", "author", status->author, "reason", status->reason);
}

// ---- why it changed last --------------------------------------------------------------------

// Null while it never changed, or when what is known of it is gone.
static json_t *last_change(struct valves *valves, uint32_t index, uint32_t generation,
                           uint64_t now_ns)
{
    struct breaker_transition list[BREAKER_HISTORY];
    size_t n = generation > 0 ? breaker_transitions(valves->breakers, index, 0, list) : 0;
    if (n == 0)
        return json_null();
    const struct breaker_transition *last = &list[n - 1];
    uint64_t ago_ns = last->at_ns < now_ns ? now_ns - last->at_ns : 0;
    return json_pack("{s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:s,s:s}", "from",
                     breaker_state_names[last->from], "to", breaker_state_names[last->to], "rule",
                     breaker_rule_names[last->rule], "agoMs", (json_int_t)(ago_ns / NS_PER_MS),
                     "successes", (json_int_t)last->successes, "failures",
                     (json_int_t)last->failures, "timeouts", (json_int_t)last->timeouts, "slow",
                     (json_int_t)last->slow, "consecutiveFailures", (json_int_t)last->consecutive,
                     "forMs", last->open_for_ns > 0 ? milliseconds(last->open_for_ns) : json_null(),
                     "author", last->author, "reason", last->reason);
}

// ---- the outbox -----------------------------------------------------------------------------

struct kept { // for one breaker's upstream, as the breaker process last told; all 0 without it
    char upstream[BREAKER_NAME_MAX];
    double queued, sending, dead, parked, bytes, oldest_s, rate, accepted, undelivered;
};
struct kept_list {
    struct kept items[BREAKER_MAX];
    size_t n;
};

static const struct {
    const char *name, *state; // series, and its second label's value; NULL: it has none
    size_t offset;
} kept_series[] = {
    {"valvechain_outbox_operations", "queued", offsetof(struct kept, queued)},
    {"valvechain_outbox_operations", "sending", offsetof(struct kept, sending)},
    {"valvechain_outbox_operations", "dead", offsetof(struct kept, dead)},
    {"valvechain_outbox_operations", "parked", offsetof(struct kept, parked)},
    {"valvechain_outbox_bytes", NULL, offsetof(struct kept, bytes)},
    {"valvechain_outbox_oldest_age_seconds", NULL, offsetof(struct kept, oldest_s)},
    {"valvechain_outbox_replay_rate", NULL, offsetof(struct kept, rate)},
    {"valvechain_outbox_accepted_total", NULL, offsetof(struct kept, accepted)},
    {"valvechain_outbox_dead_total", NULL, offsetof(struct kept, undelivered)},
};

static struct kept *kept_of(struct kept_list *list, const char *upstream)
{
    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->items[i].upstream, upstream) == 0)
            return &list->items[i];
    if (list->n == BREAKER_MAX)
        return NULL;
    struct kept *kept = &list->items[list->n++];
    *kept = (struct kept){0};
    memcpy(kept->upstream, upstream, strlen(upstream) + 1);
    return kept;
}

static void add_kept(void *arg, const struct slot_info *slot, const struct metric_series *series)
{
    char upstream[BREAKER_NAME_MAX], state[16] = "";
    (void)slot;
    if (strncmp(series->name, "valvechain_outbox_", 18) != 0 ||
        (metric_is_gauge(series->kind) && !series->current) ||
        sscanf(series->labels, "upstream=\"%23[a-z0-9-]\",state=\"%15[a-z]\"", upstream, state) < 1)
        return;
    for (size_t i = 0; i < sizeof(kept_series) / sizeof(kept_series[0]); i++) {
        if (strcmp(kept_series[i].name, series->name) != 0 ||
            strcmp(kept_series[i].state != NULL ? kept_series[i].state : "", state) != 0)
            continue;
        struct kept *kept = kept_of(arg, upstream);
        if (kept != NULL)
            *(double *)(void *)((char *)kept + kept_series[i].offset) +=
                metric_series_value(series);
    }
}

// Null: nothing is ever kept for this one.
static json_t *outbox_entry(const struct kept_list *list, const char *name)
{
    const struct kept *kept = NULL;
    for (size_t i = 0; i < list->n && kept == NULL; i++)
        if (strcmp(list->items[i].upstream, name) == 0)
            kept = &list->items[i];
    if (kept == NULL)
        return json_null();
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:o,s:I,s:I}", "depth",
                     (json_int_t)(kept->queued + kept->sending), "queued", (json_int_t)kept->queued,
                     "sending", (json_int_t)kept->sending, "dead", (json_int_t)kept->dead, "parked",
                     (json_int_t)kept->parked, "bytes", (json_int_t)kept->bytes, "oldestAgeSeconds",
                     system_rounded(kept->oldest_s), "replayRate", system_rounded(kept->rate),
                     "accepted", (json_int_t)kept->accepted, "undelivered",
                     (json_int_t)kept->undelivered);
}

// ---- the whole ------------------------------------------------------------------------------

static void add_fallback(void *arg, const struct slot_info *slot,
                         const struct metric_series *series)
{
    json_t *kinds = arg;
    char kind[16];
    (void)slot;
    if (strcmp(series->name, "valvechain_fallbacks_total") != 0 ||
        sscanf(series->labels, "kind=\"%15[a-z]\"", kind) != 1)
        return;
    json_int_t sum = json_integer_value(json_object_get(kinds, kind));
    json_object_set_new(kinds, kind, json_integer(sum + (json_int_t)metric_series_value(series)));
}

static json_t *breaker_entry(struct valves *valves, uint32_t index,
                             const struct breaker_status *status, const struct kept_list *kept,
                             uint64_t now_ns)
{
    uint64_t since_ns = status->since_ns < now_ns ? now_ns - status->since_ns : 0;
    return json_pack(
        "{s:s,s:s,s:I,s:o,s:i,s:i,s:i,s:i,s:b,s:o,s:o,s:o,s:o,s:o,s:o}", "status",
        system_breaker_health[status->state], "state", breaker_state_names[status->state],
        "inStateMs", (json_int_t)(since_ns / NS_PER_MS), "retryInMs", retry_ms(status, now_ns),
        "inFlight", (int)status->in_flight, "capacity", (int)status->capacity, "probesOut",
        (int)status->probes_out, "failedRecoveries", (int)status->reopened, "wouldOpen",
        status->would_open, "command", breaker_command(status), "window", breaker_window(status),
        "totals", breaker_totals(status), "settings", breaker_settings(valves, index), "lastChange",
        last_change(valves, index, status->generation, now_ns), "outbox",
        outbox_entry(kept, status->name));
}

json_t *system_breaker_report(struct valves *valves)
{
    json_t *breakers = json_object(), *fallbacks = json_object();
    struct kept_list kept = {.n = 0};
    struct metric_reading *reading;
    uint64_t now_ns = clock_mono_ns();
    struct breaker_status status;
    if (metric_reading_create(valves->service->segment, &reading) == 0) {
        (void)metric_reading_walk(reading, add_kept, &kept);
        (void)metric_reading_walk(reading, add_fallback, fallbacks);
        metric_reading_destroy(&reading);
    }
    for (uint32_t i = 0; breaker_next(valves->breakers, &i, now_ns, &status); i++)
        json_object_set_new(breakers, status.name,
                            breaker_entry(valves, i, &status, &kept, now_ns));
    return json_pack("{s:b,s:I,s:o,s:o}", "enabled", valves_breakers_params(valves)->enabled,
                     "generation", (json_int_t)breaker_generation(valves->breakers),
                     "circuitBreakers", breakers, "fallbacks", fallbacks);
}
