#include "flood_watch.h"

#include "base/clock.h"
#include "base/log.h"
#include "limiter_metrics.h"
#include "metric/metric.h"

static metric_id reg(struct service *service, enum limiter_metric metric)
{
    return metric_register(service->metrics, &limiter_metric_defs[metric], NULL);
}

void flood_watch_init(struct flood_watch *watch, struct service *service)
{
    *watch = (struct flood_watch){.service = service,
                                  .rate = reg(service, METRIC_INDEX_new_keys_rate),
                                  .is_on = reg(service, METRIC_INDEX_flood),
                                  .floods = reg(service, METRIC_INDEX_floods)};
}

static uint64_t total(const struct metric_reading *figures, const char *name)
{
    double value = 0;
    (void)metric_reading_lookup(figures, name, NULL, &value); // none has counted: 0
    return (uint64_t)value;
}

// Gateways and the limiter itself count what they decide.
static bool read_counters(const struct segment *segment, struct flood_reading *ret_reading)
{
    struct metric_reading *figures = NULL;
    if (metric_reading_create(segment, &figures) < 0) {
        return false; // no memory: the next one tells
    }
    *ret_reading = (struct flood_reading){
        .at_ns = clock_mono_ns(),
        .new_keys = total(figures, "valvechain_rate_limit_new_keys_total") +
                    total(figures, limiter_metric_defs[METRIC_INDEX_check_new_keys].name),
        .shared = total(figures, "valvechain_rate_limit_overflow_total") +
                  total(figures, limiter_metric_defs[METRIC_INDEX_check_overflow].name),
        .freed = total(figures, limiter_metric_defs[METRIC_INDEX_freed].name)};
    metric_reading_destroy(&figures);
    return true;
}

static void publish(const struct flood_watch *watch, bool is_begin, uint64_t threshold_per_s,
                    const struct flood_evidence *evidence, const struct limit_fill *fill)
{
    Valvechain__V1__LimitFlood message = VALVECHAIN__V1__LIMIT_FLOOD__INIT;
    Valvechain__V1__Origin origin;
    bus_origin(watch->service->bus, &origin);
    message.origin = &origin;
    message.begins = is_begin;
    message.keys_per_s = evidence->keys_per_s;
    message.peak_keys_per_s = evidence->peak_per_s;
    message.threshold_per_s = threshold_per_s;
    message.new_keys = evidence->new_keys;
    message.shared_decisions = evidence->shared;
    message.freed_cells = evidence->freed;
    message.live_cells = fill->live;
    message.table_cells = fill->cells;
    message.duration_ms = evidence->duration_ns / NS_PER_MS;
    bus_publish(watch->service->bus, "limit.flood", &message.base);
}

static void log_it(bool is_begin, uint64_t threshold_per_s, const struct flood_evidence *evidence,
                   const struct limit_fill *fill)
{
    const struct log_field fields[] = {LUINT("keys_per_s", evidence->keys_per_s),
                                       LUINT("peak_keys_per_s", evidence->peak_per_s),
                                       LUINT("threshold_per_s", threshold_per_s),
                                       LUINT("new_keys", evidence->new_keys),
                                       LUINT("shared_decisions", evidence->shared),
                                       LUINT("freed_cells", evidence->freed),
                                       LUINT("live_cells", fill->live),
                                       LUINT("table_cells", fill->cells),
                                       LUINT("duration_ms", evidence->duration_ns / NS_PER_MS)};
    const size_t n = sizeof(fields) / sizeof(fields[0]);
    if (is_begin) {
        log_write(LOG_LEVEL_WARN, "limit.flood_begins",
                  "new keys flood the limit table: callers who have a cell keep it, newcomers may "
                  "come to share one",
                  fields, n);
    } else {
        log_write(LOG_LEVEL_WARN, "limit.flood_over", "the flood of new keys is over", fields, n);
    }
}

void flood_watch_look(struct flood_watch *watch, const struct flood_rules *rules,
                      const struct limit_fill *fill)
{
    struct metric_set *metrics = watch->service->metrics;
    struct flood_reading reading;
    struct flood_evidence evidence;
    if (!read_counters(watch->service->segment, &reading)) {
        return;
    }
    enum flood_change change = flood_read(&watch->flood, rules, &reading, &evidence);
    metric_gauge(metrics, watch->rate, (double)watch->flood.keys_per_s);
    metric_gauge(metrics, watch->is_on, watch->flood.is_on);
    if (change == FLOOD_GOES_ON) {
        return;
    }
    if (change == FLOOD_BEGINS) {
        metric_add(metrics, watch->floods, 1);
    }
    log_it(change == FLOOD_BEGINS, rules->keys_per_s, &evidence, fill);
    publish(watch, change == FLOOD_BEGINS, rules->keys_per_s, &evidence, fill);
}
