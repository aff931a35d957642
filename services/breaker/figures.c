#include "figures.h"

#include <errno.h>
#include <stdio.h>

const struct metric_def figures_defs[FIGURES_METRICS] = {
#define METRIC_ROWS "metrics.def"
#include "metric/metric_table.inc"
#undef METRIC_ROWS
};

// The counters of one breaker: which metric, the value of its second label, where the total stands.
static const struct {
    int def;
    const char *label, *value;
    size_t offset;
} counters[FIGURES_COUNTERS] = {
    {METRIC_INDEX_failures, NULL, NULL, offsetof(struct breaker_status, total_failures)},
    {METRIC_INDEX_calls, "outcome", "success", offsetof(struct breaker_status, total_successes)},
    {METRIC_INDEX_calls, "outcome", "failure", offsetof(struct breaker_status, total_failures)},
    {METRIC_INDEX_calls, "outcome", "timeout", offsetof(struct breaker_status, total_timeouts)},
    {METRIC_INDEX_refusals, "reason", "open", offsetof(struct breaker_status, total_refused_open)},
    {METRIC_INDEX_refusals, "reason", "capacity",
     offsetof(struct breaker_status, total_refused_capacity)},
    {METRIC_INDEX_opens, NULL, NULL, offsetof(struct breaker_status, total_opens)},
};

void figures_init(struct figures *figures, struct segment *segment, struct metric_set *set)
{
    *figures = (struct figures){.segment = segment, .set = set};
}

static void add_breaker(struct figures *figures, struct figures_breaker *own, const char *name)
{
    const char *one[] = {name};
    own->in_flight = metric_register(figures->set, &figures_defs[METRIC_INDEX_in_flight], one);
    own->capacity = metric_register(figures->set, &figures_defs[METRIC_INDEX_capacity], one);
    own->events = metric_register(figures->set, &figures_defs[METRIC_INDEX_events], one);
    for (int i = 0; i < FIGURES_STATES; i++) {
        const char *two[] = {name, breaker_state_names[i]};
        own->states[i] = metric_register(figures->set, &figures_defs[METRIC_INDEX_state], two);
    }
    for (int i = 0; i < FIGURES_COUNTERS; i++) {
        const char *two[] = {name, counters[i].value};
        struct figures_counter *counter = &own->counters[i];
        counter->id = metric_register(figures->set, &figures_defs[counters[i].def], two);
        if (counters[i].label != NULL)
            snprintf(counter->labels, sizeof(counter->labels), "breaker=\"%s\",%s=\"%s\"", name,
                     counters[i].label, counters[i].value);
        else
            snprintf(counter->labels, sizeof(counter->labels), "breaker=\"%s\"", name);
    }
    own->is_registered = true;
}

static uint64_t total_of(const struct breaker_status *status, int i)
{
    uint64_t total;
    memcpy(&total, (const char *)status + counters[i].offset, sizeof(total));
    return counters[i].def == METRIC_INDEX_failures ? total + status->total_timeouts : total;
}

// What was read of all slots may already hold more, if another owner lives: then nothing is added.
static void take_over(struct figures *figures, struct metric_reading *reading,
                      struct figures_counter *counter, int i, uint64_t total)
{
    double published = 0;
    const char *name = figures_defs[counters[i].def].name;
    if (!metric_reading_lookup(reading, name, counter->labels, &published))
        return; // the catalogue had no room for it: counted by the set
    if ((uint64_t)published < total)
        metric_add(figures->set, counter->id, total - (uint64_t)published);
    counter->total = total;
}

static void update_gauges(struct figures *figures, struct figures_breaker *own,
                          const struct breaker_status *status)
{
    for (int i = 0; i < FIGURES_STATES; i++)
        metric_gauge(figures->set, own->states[i], (int)status->state == i ? 1 : 0);
    metric_gauge(figures->set, own->in_flight, status->in_flight);
    metric_gauge(figures->set, own->capacity, status->capacity);
}

// A retired name: its counters stand, and it is in no state.
static void clear_gauges(struct figures *figures, struct figures_breaker *own)
{
    for (int i = 0; i < FIGURES_STATES; i++)
        metric_gauge(figures->set, own->states[i], 0);
    metric_gauge(figures->set, own->in_flight, 0);
    metric_gauge(figures->set, own->capacity, 0);
}

void figures_update(struct figures *figures, struct breaker_view *view, uint64_t now_ns)
{
    struct metric_reading *reading = NULL;
    struct breaker_status status;
    int rc;
    for (uint32_t index = 0; (rc = breaker_status(view, index, now_ns, &status)) != -ENOENT;
         index++) {
        struct figures_breaker *own = &figures->breakers[index];
        if (rc < 0) {
            if (own->is_registered)
                clear_gauges(figures, own);
            continue;
        }
        if (!own->is_registered)
            add_breaker(figures, own, status.name);
        update_gauges(figures, own, &status);
        for (int i = 0; i < FIGURES_COUNTERS; i++) {
            uint64_t total = total_of(&status, i);
            if (total == own->counters[i].total)
                continue;
            if (reading == NULL && metric_reading_create(figures->segment, &reading) < 0)
                return; // no memory now: the next update takes it over
            take_over(figures, reading, &own->counters[i], i, total);
        }
    }
    metric_reading_destroy(&reading);
}

void figures_count_event(struct figures *figures, uint32_t index)
{
    if (figures->breakers[index].is_registered)
        metric_add(figures->set, figures->breakers[index].events, 1);
}
