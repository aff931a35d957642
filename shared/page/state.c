// The state as JSON. What lies in the segment may be anything: texts go out as JSON strings.
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "advice/published.h"
#include "base/clock.h"
#include "metric/metric.h"
#include "page/page.h"
#include "service/finding.h"

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static double seconds_between(uint64_t from_ns, uint64_t to_ns)
{
    uint64_t ms = from_ns < to_ns ? (to_ns - from_ns) / NS_PER_MS : 0;
    return (double)ms / 1e3;
}

// ---- processes ----------------------------------------------------------------------------------

static json_t *process_entry(const struct segment *segment, const struct slot_info *slot,
                             uint64_t now_ns)
{
    char finding[FINDING_TEXT_MAX] = "";
    if (slot->alive)
        (void)finding_read(segment, slot->index, slot->generation, finding);
    return json_pack("{s:s,s:s,s:b,s:b,s:i,s:I,s:o,s:o,s:s}", "name", slot->name, "instance",
                     slot->instance, "alive", slot->alive, "ready", slot->alive && slot->ready,
                     "pid", (int)slot->pid, "restarts", (json_int_t)slot->restarts, "upSeconds",
                     slot->alive ? number(seconds_between(slot->start_ns, now_ns)) : json_null(),
                     "heartbeatSeconds", number(seconds_between(slot->heartbeat_ns, now_ns)),
                     "finding", finding);
}

static json_t *processes(const struct segment *segment, uint64_t now_ns, bool *ret_agent)
{
    json_t *list = json_array();
    struct slot_info slot;
    *ret_agent = false;
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        if (!slot_read(segment, i, &slot) || (!slot.alive && slot.left_cleanly))
            continue;
        json_array_append_new(list, process_entry(segment, &slot, now_ns));
        *ret_agent |= slot.alive && strcmp(slot.name, "metrics-agent") == 0;
    }
    return list;
}

// ---- breakers -----------------------------------------------------------------------------------

static json_t *transitions(struct breaker_view *view, uint32_t index, uint64_t now_ns)
{
    struct breaker_transition list[BREAKER_HISTORY];
    size_t n = breaker_transitions(view, index, 0, list);
    json_t *out = json_array();
    while (n-- > 0) { // the newest first
        const struct breaker_transition *at = &list[n];
        json_array_append_new(
            out, json_pack(
                     "{s:s,s:s,s:s,s:o,s:I,s:I,s:I,s:s,s:s}", "from", breaker_state_names[at->from],
                     "to", breaker_state_names[at->to], "rule", breaker_rule_names[at->rule],
                     "agoSeconds", number(seconds_between(at->at_ns, now_ns)), "failures",
                     (json_int_t)at->failures, "timeouts", (json_int_t)at->timeouts, "successes",
                     (json_int_t)at->successes, "author", at->author, "reason", at->reason));
    }
    return out;
}

static json_t *breaker_entry(struct breaker_view *view, uint32_t index,
                             const struct breaker_status *status, uint64_t now_ns)
{
    uint64_t refused = status->total_refused_open + status->total_refused_capacity +
                       status->total_refused_ramp + status->total_refused_forced;
    return json_pack(
        "{s:s,s:s,s:o,s:o,s:i,s:i,s:I,s:I,s:I,s:I,s:I,s:s,s:s,s:o}", "name", status->name, "state",
        breaker_state_names[status->state], "sinceSeconds",
        number(seconds_between(status->since_ns, now_ns)), "untilSeconds",
        status->deadline_ns > now_ns ? number(seconds_between(now_ns, status->deadline_ns))
                                     : json_null(),
        "inFlight", (int)status->in_flight, "capacity", (int)status->capacity, "successes",
        (json_int_t)status->window_successes, "failures", (json_int_t)status->window_failures,
        "timeouts", (json_int_t)status->window_timeouts, "refused", (json_int_t)refused, "opens",
        (json_int_t)status->total_opens, "author", status->author, "reason", status->reason,
        "transitions", transitions(view, index, now_ns));
}

static json_t *breakers_list(struct breaker_view *view, uint64_t now_ns)
{
    json_t *list = json_array();
    struct breaker_status status;
    for (uint32_t i = 0; breaker_next(view, &i, now_ns, &status); i++)
        json_array_append_new(list, breaker_entry(view, i, &status, now_ns));
    return list;
}

// ---- what the processes publish -----------------------------------------------------------------

struct published {
    json_t *tiers, *policies, *shadow, *outbox; // objects
};

static bool label(const struct metric_series *series, const char *name, char ret_value[64])
{
    char begin[32];
    (void)snprintf(begin, sizeof(begin), "%s=\"", name);
    const char *at = strstr(series->labels, begin);
    size_t len = at ? strcspn(at + strlen(begin), "\"") : 0;
    if (len == 0 || len >= 64)
        return false;
    memcpy(ret_value, at + strlen(begin), len);
    ret_value[len] = '\0';
    return true;
}

static void add(json_t *object, const char *key, double value)
{
    double sum = json_number_value(json_object_get(object, key));
    json_object_set_new(object, key, json_real(sum + value));
}

static void add_labelled(json_t *object, const struct metric_series *series, const char *name)
{
    char value[64];
    if (label(series, name, value))
        add(object, value, metric_series_value(series));
}

static void add_outbox(json_t *outbox, const struct metric_series *series, const char *figure)
{
    char upstream[64], state[64];
    if (!label(series, "upstream", upstream))
        return;
    json_t *entry = json_object_get(outbox, upstream);
    if (!entry) {
        entry = json_object();
        json_object_set_new(outbox, upstream, entry);
    }
    add(entry, label(series, "state", state) ? state : figure, metric_series_value(series));
}

static void add_series(void *arg, const struct slot_info *slot, const struct metric_series *series)
{
    struct published *published = arg;
    const char *name = series->name;
    (void)slot;
    if (series->kind == METRIC_HISTOGRAM)
        return;
    if (strcmp(name, "valvechain_rate_limit_hits_total") == 0) {
        add_labelled(published->tiers, series, "tier");
        add_labelled(published->policies, series, "policy");
    } else if (strcmp(name, "valvechain_limit_check_hits_total") == 0) {
        add_labelled(published->policies, series, "policy");
    } else if (strcmp(name, "valvechain_rate_limit_shadow_hits_total") == 0) {
        add_labelled(published->shadow, series, "policy");
    } else if (strcmp(name, "valvechain_outbox_operations") == 0) {
        add_outbox(published->outbox, series, "queued");
    } else if (strcmp(name, "valvechain_outbox_oldest_age_seconds") == 0) {
        add_outbox(published->outbox, series, "ageSeconds");
    } else if (strcmp(name, "valvechain_outbox_bytes") == 0) {
        add_outbox(published->outbox, series, "bytes");
    } else if (strcmp(name, "valvechain_outbox_replay_rate") == 0) {
        add_outbox(published->outbox, series, "rate");
    }
}

// ---- the whole ----------------------------------------------------------------------------------

// Null: the advisor has never decided.
static json_t *advice_of(const struct segment *segment, uint64_t now_ns)
{
    struct advice *advice = malloc(sizeof(*advice));
    struct strbuf text = STRBUF_INIT;
    json_t *tree = NULL;
    if (advice && advice_read(segment, advice)) {
        advice_json(advice, NULL, &text);
        tree = strbuf_ok(&text) ? json_loads(strbuf_text(&text), 0, NULL) : NULL;
        if (tree)
            json_object_set_new(tree, "ageSeconds",
                                number(seconds_between(advice->decided_ns, now_ns)));
    }
    strbuf_fini(&text);
    free(advice);
    return tree ? tree : json_null();
}

static json_t *state_tree(const struct segment *segment, struct breaker_view *breakers,
                          const char *suite, uint64_t now_ns, uint64_t now_wall_ns)
{
    struct published published = {json_object(), json_object(), json_object(), json_object()};
    bool agent;
    json_t *list = processes(segment, now_ns, &agent);
    (void)metric_walk(segment, add_series, &published);
    uint64_t wall_ms = now_wall_ns / NS_PER_MS;
    return json_pack("{s:o,s:s,s:s,s:b,s:o,s:o,s:{s:o,s:o,s:o},s:o,s:o}", "now",
                     number((double)wall_ms / 1e3), "suite", suite, "version", VALVECHAIN_VERSION,
                     "agentAlive", agent, "processes", list, "breakers",
                     breakers_list(breakers, now_ns), "refusals", "tiers", published.tiers,
                     "policies", published.policies, "shadow", published.shadow, "outbox",
                     published.outbox, "advice", advice_of(segment, now_ns));
}

int page_state(const struct segment *segment, struct breaker_view *breakers, const char *suite,
               uint64_t now_ns, uint64_t now_wall_ns, struct strbuf *out)
{
    json_t *tree = state_tree(segment, breakers, suite, now_ns, now_wall_ns);
    char *text = tree ? json_dumps(tree, JSON_COMPACT | JSON_REAL_PRECISION(12)) : NULL;
    json_decref(tree);
    if (text)
        strbuf_puts(out, text);
    free(text);
    return text && strbuf_ok(out) ? 0 : -ENOMEM;
}
