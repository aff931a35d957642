#include "feed.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "advice/published.h"
#include "base/clock.h"

#define KEY_MAX         24
#define BOUNDS_MAX      64
#define ADVICE_FRESH_NS (60 * NS_PER_S)

struct keyed { // a running total by series and key
    const char *series;
    char key[KEY_MAX];
    uint64_t total;
};

struct tally { // running totals of all processes
    uint64_t time_ns;
    uint64_t requests, errors, refusals, fallbacks, fast_failures;
    uint64_t durations_ns, buckets[BOUNDS_MAX + 1];
    double bounds[BOUNDS_MAX];
    uint32_t n_bounds;
    struct keyed keyed[HISTORY_PLACES];
    uint32_t n_keyed;
};

struct outbox { // gauges, there while the breaker process is
    bool is_known;
    double depth, dead, age_s;
};

struct feed {
    struct tally before, now; // before.time_ns 0: there is none
    struct outbox outbox;
    struct history *history;
    uint64_t now_s;
    float *values;
    uint32_t without_place;
};

int feed_create(struct feed **ret_feed)
{
    *ret_feed = calloc(1, sizeof(**ret_feed));
    return *ret_feed ? 0 : -ENOMEM;
}

void feed_destroy(struct feed **feed)
{
    free(*feed);
    *feed = NULL;
}

// ---- labels -------------------------------------------------------------------------------------

static bool label(const struct metric_series *series, const char *name, char ret_value[KEY_MAX])
{
    char begin[32];
    (void)snprintf(begin, sizeof(begin), "%s=\"", name);
    const char *at = strstr(series->labels, begin);
    if (!at)
        return false;
    at += strlen(begin);
    size_t len = strcspn(at, "\"");
    if (len == 0 || len >= KEY_MAX)
        return false;
    memcpy(ret_value, at, len);
    ret_value[len] = '\0';
    return true;
}

static bool has_label(const struct metric_series *series, const char *name, const char *value)
{
    char found[KEY_MAX];
    return label(series, name, found) && strcmp(found, value) == 0;
}

// ---- counters -----------------------------------------------------------------------------------

static void add_keyed(struct tally *tally, const char *series, const char *key, uint64_t n)
{
    struct keyed *at = tally->keyed;
    for (uint32_t i = 0; i < tally->n_keyed; i++, at++) {
        if (at->series == series && strcmp(at->key, key) == 0) {
            at->total += n;
            return;
        }
    }
    if (tally->n_keyed == HISTORY_PLACES)
        return; // there is no place in the history either
    tally->n_keyed++;
    *at = (struct keyed){.series = series, .total = n};
    (void)snprintf(at->key, sizeof(at->key), "%s", key);
}

static void add_durations(struct tally *tally, const struct metric_series *series)
{
    if (tally->n_bounds == 0 && series->n_bounds <= BOUNDS_MAX) {
        tally->n_bounds = series->n_bounds;
        memcpy(tally->bounds, series->bounds, series->n_bounds * sizeof(double));
    }
    if (series->n_bounds != tally->n_bounds ||
        memcmp(series->bounds, tally->bounds, series->n_bounds * sizeof(double)) != 0)
        return;
    for (uint32_t i = 0; i <= series->n_bounds; i++)
        tally->buckets[i] += atomic_load_explicit(&series->words[i], memory_order_relaxed);
    tally->durations_ns +=
        atomic_load_explicit(&series->words[series->n_bounds + 1], memory_order_relaxed);
}

static const char tier_refusals[] = "tier_refusals", policy_refusals[] = "policy_refusals",
                  breaker_calls[] = "breaker_calls";

static void add_counter(struct tally *tally, const struct metric_series *series)
{
    char key[KEY_MAX];
    uint64_t n = atomic_load_explicit(&series->words[0], memory_order_relaxed);
    if (strcmp(series->name, "valvechain_http_requests_total") == 0) {
        if (has_label(series, "route", "system"))
            return;
        tally->requests += n;
        if (has_label(series, "code", "5xx"))
            tally->errors += n;
    } else if (strcmp(series->name, "valvechain_rate_limit_hits_total") == 0) {
        tally->refusals += n;
        if (label(series, "tier", key))
            add_keyed(tally, tier_refusals, key, n);
        if (label(series, "policy", key))
            add_keyed(tally, policy_refusals, key, n);
    } else if (strcmp(series->name, "valvechain_limit_check_hits_total") == 0) {
        tally->refusals += n;
        if (label(series, "policy", key))
            add_keyed(tally, policy_refusals, key, n);
    } else if (strcmp(series->name, "valvechain_fallbacks_total") == 0) {
        tally->fallbacks += n;
    }
}

// ---- gauges -------------------------------------------------------------------------------------

static void give(struct feed *feed, const char *series, const char *key, double value)
{
    uint32_t place;
    int error = history_take_place(feed->history, series, key, feed->now_s, &place);
    if (error == 0)
        feed->values[place] =
            isnan(feed->values[place]) ? (float)value : feed->values[place] + (float)value;
    else
        feed->without_place += error == -ENOSPC;
}

static void add_outbox(struct feed *feed, const struct metric_series *series)
{
    char upstream[KEY_MAX];
    double value = metric_series_value(series);
    if (strcmp(series->name, "valvechain_outbox_operations") == 0) {
        feed->outbox.is_known = true;
        if (has_label(series, "state", "dead") || has_label(series, "state", "parked")) {
            feed->outbox.dead += value;
            return;
        }
        feed->outbox.depth += value;
        if (label(series, "upstream", upstream))
            give(feed, "outbox_depth_of", upstream, value);
    } else if (strcmp(series->name, "valvechain_outbox_oldest_age_seconds") == 0) {
        feed->outbox.age_s = fmax(feed->outbox.age_s, value);
    }
}

static void add_series(void *arg, const struct slot_info *slot, const struct metric_series *series)
{
    struct feed *feed = arg;
    (void)slot;
    if (series->kind == METRIC_COUNTER)
        add_counter(&feed->now, series);
    else if (series->kind != METRIC_HISTOGRAM)
        add_outbox(feed, series);
    else if (strcmp(series->name, "valvechain_http_request_duration_seconds") == 0 &&
             !has_label(series, "route", "system"))
        add_durations(&feed->now, series);
}

// ---- breakers -----------------------------------------------------------------------------------

// How much it stands in the way, so that the largest of a minute is what mattered.
static const float state_numbers[BREAKER_STATES] = {
    [BREAKER_CLOSED] = 0,        [BREAKER_OBSERVE] = 1,   [BREAKER_DISABLED] = 2,
    [BREAKER_FORCED_CLOSED] = 3, [BREAKER_HALF_OPEN] = 4, [BREAKER_OPEN] = 5,
    [BREAKER_FORCED_OPEN] = 6};

static void read_breakers(struct feed *feed, struct breaker_view *breakers)
{
    struct breaker_status status;
    float *values = feed->values;
    uint32_t open = 0, in_flight = 0;
    for (uint32_t i = 0; breaker_next(breakers, &i, feed->now.time_ns, &status); i++) {
        uint64_t refused = status.total_refused_open + status.total_refused_capacity +
                           status.total_refused_ramp + status.total_refused_forced;
        open += state_numbers[status.state] >= state_numbers[BREAKER_HALF_OPEN];
        in_flight += status.in_flight;
        feed->now.fast_failures += refused;
        add_keyed(&feed->now, breaker_calls, status.name,
                  status.total_successes + status.total_failures + status.total_timeouts +
                      status.total_ignored);
        give(feed, "breaker_state", status.name, (double)state_numbers[status.state]);
    }
    values[HISTORY_PLACE_breakers_open] = (float)open;
    values[HISTORY_PLACE_in_flight] = (float)in_flight;
}

// ---- rates --------------------------------------------------------------------------------------

static double grown(uint64_t from, uint64_t to)
{
    return to >= from ? (double)(to - from) : NAN;
}

double feed_quantile(const double *bounds, const uint64_t *counts, uint32_t n_bounds, double q)
{
    uint64_t all = 0;
    double below = 0;
    for (uint32_t i = 0; i <= n_bounds; i++)
        all += counts[i];
    if (all == 0)
        return NAN;
    double rank = q * (double)all;
    for (uint32_t i = 0; i < n_bounds; i++) {
        double count = (double)counts[i], low = i > 0 ? bounds[i - 1] : 0;
        if (count > 0 && below + count >= rank)
            return low + (bounds[i] - low) * (rank - below) / count;
        below += count;
    }
    return bounds[n_bounds - 1];
}

static void read_latency(const struct feed *feed)
{
    const struct tally *now = &feed->now, *before = &feed->before;
    uint64_t counts[BOUNDS_MAX + 1], all = 0;
    if (now->n_bounds == 0 || now->n_bounds != before->n_bounds)
        return;
    for (uint32_t i = 0; i <= now->n_bounds; i++) {
        if (now->buckets[i] < before->buckets[i])
            return;
        counts[i] = now->buckets[i] - before->buckets[i];
        all += counts[i];
    }
    double durations_ns = grown(before->durations_ns, now->durations_ns);
    if (all == 0)
        return;
    feed->values[HISTORY_PLACE_latency_mean] =
        (float)(durations_ns / (double)all / (double)NS_PER_MS);
    feed->values[HISTORY_PLACE_latency_p99] =
        (float)(1e3 * feed_quantile(now->bounds, counts, now->n_bounds, 0.99));
}

static void read_rates(struct feed *feed, bool counts)
{
    const struct tally *now = &feed->now, *before = &feed->before;
    double seconds = (double)(now->time_ns - before->time_ns) / (double)NS_PER_S;
    float *values = feed->values;
    if (before->time_ns == 0 || seconds <= 0)
        return;
    values[HISTORY_PLACE_refusals] = (float)(grown(before->refusals, now->refusals) / seconds);
    values[HISTORY_PLACE_fallbacks] = (float)(grown(before->fallbacks, now->fallbacks) / seconds);
    values[HISTORY_PLACE_fast_failures] =
        (float)(grown(before->fast_failures, now->fast_failures) / seconds);
    for (uint32_t i = 0; i < now->n_keyed; i++) {
        const struct keyed *at = &now->keyed[i];
        uint64_t from = 0; // one that was not there began meanwhile
        for (uint32_t j = 0; j < before->n_keyed; j++)
            if (before->keyed[j].series == at->series && strcmp(before->keyed[j].key, at->key) == 0)
                from = before->keyed[j].total;
        give(feed, at->series, at->key, grown(from, at->total) / seconds);
    }
    if (!counts)
        return;
    values[HISTORY_PLACE_requests] = (float)(grown(before->requests, now->requests) / seconds);
    values[HISTORY_PLACE_errors] = (float)(grown(before->errors, now->errors) / seconds);
    read_latency(feed);
}

// ---- the whole ----------------------------------------------------------------------------------

static void read_given(const struct feed *feed, const struct feed_given *given)
{
    float *values = feed->values;
    values[HISTORY_PLACE_cpu] = (float)given->cpu_percent;
    values[HISTORY_PLACE_memory] = (float)given->memory_percent;
    values[HISTORY_PLACE_resident] = (float)given->resident_bytes;
    values[HISTORY_PLACE_connections] = (float)given->connections;
    values[HISTORY_PLACE_instances] = (float)given->instances;
}

static void read_advice(const struct feed *feed, const struct segment *segment)
{
    struct advice advice;
    if (advice_read(segment, &advice) && advice.valid &&
        advice.decided_ns + ADVICE_FRESH_NS > feed->now.time_ns)
        feed->values[HISTORY_PLACE_advice] = (float)advice.desired;
}

uint32_t feed_read(struct feed *feed, const struct segment *segment,
                   const struct metric_reading *reading, struct breaker_view *breakers,
                   const struct feed_given *given, uint64_t now_ns, uint64_t now_s,
                   struct history *history, float ret_values[HISTORY_PLACES])
{
    feed->before = feed->now;
    feed->now = (struct tally){.time_ns = now_ns};
    feed->outbox = (struct outbox){0};
    feed->history = history;
    feed->now_s = now_s;
    feed->values = ret_values;
    feed->without_place = 0;
    for (size_t i = 0; i < HISTORY_PLACES; i++)
        ret_values[i] = NAN;
    read_given(feed, given);
    read_advice(feed, segment);
    metric_reading_walk(reading, add_series, feed);
    read_breakers(feed, breakers);
    read_rates(feed, given->counts);
    if (feed->outbox.is_known) {
        ret_values[HISTORY_PLACE_outbox_depth] = (float)feed->outbox.depth;
        ret_values[HISTORY_PLACE_outbox_dead] = (float)feed->outbox.dead;
        ret_values[HISTORY_PLACE_outbox_age] = (float)feed->outbox.age_s;
    }
    return feed->without_place;
}
