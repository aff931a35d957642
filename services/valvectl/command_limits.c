// valvectl limits, limit show, limit top, deny list, allow list: read from the segment, whether the
// limiter is there or not.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "limit/key_state.h"
#include "limit/operator.h"
#include "limit/top.h"
#include "metric/metric.h"
#include "valvectl.h"

#define TOP_SHOWN     20
#define TOP_WITHIN_MS 600000

struct reading {
    struct segment *segment;
    struct limit_view *view;
};

static int reading_open(const struct valvectl *ctl, struct reading *ret_reading)
{
    struct reading reading = {0};
    int result = valvectl_open_segment(ctl, &reading.segment);
    if (result != VALVECTL_OK)
        return result;
    int error = limit_attach(reading.segment, NULL, &reading.view);
    if (error < 0) {
        fprintf(stderr, "valvectl: the segment's limits cannot be read: %s\n", strerror(-error));
        segment_close(&reading.segment);
        return VALVECTL_UNREACHABLE;
    }
    *ret_reading = reading;
    return VALVECTL_OK;
}

static void reading_close(struct reading *reading)
{
    limit_detach(&reading->view);
    segment_close(&reading->segment);
}

static int64_t figure(const struct metric_reading *figures, const char *metric, const char *policy)
{
    char labels[LIMIT_NAME_MAX + 16];
    double value = 0;
    snprintf(labels, sizeof(labels), "policy=\"%s\"", policy);
    (void)metric_reading_lookup(figures, metric, labels, &value);
    return (int64_t)value;
}

struct refusals { // of one policy, whatever the other labels
    const char *policy;
    double sum;
};

static void add_refusals(void *arg, const struct slot_info *slot,
                         const struct metric_series *series)
{
    struct refusals *refusals = arg;
    char label[LIMIT_NAME_MAX + 16];
    (void)slot;
    snprintf(label, sizeof(label), "policy=\"%s\"", refusals->policy);
    if ((strcmp(series->name, "valvechain_rate_limit_hits_total") == 0 ||
         strcmp(series->name, "valvechain_limit_check_hits_total") == 0) &&
        strstr(series->labels, label))
        refusals->sum += metric_series_value(series);
}

static void print_policy(const struct metric_reading *figures, const struct limit_policy *policy)
{
    struct refusals refusals = {.policy = policy->name};
    (void)metric_reading_walk(figures, add_refusals, &refusals);
    printf("%-24s %-15s %-8s %10" PRIu64 " %8" PRIu64 " s %10" PRId64 " %10.0f %10" PRId64
           " %10" PRId64 "\n",
           policy->name, limit_algorithm_names[policy->algorithm],
           policy->mode == LIMIT_SHADOW ? "shadow" : "enforce", policy->limit,
           (uint64_t)(policy->window_ns / NS_PER_S),
           figure(figures, "valvechain_rate_limit_charged_total", policy->name), refusals.sum,
           figure(figures, "valvechain_rate_limit_near_total", policy->name),
           figure(figures, "valvechain_rate_limit_shadow_hits_total", policy->name));
}

int command_limits(struct valvectl *ctl)
{
    struct reading reading;
    struct metric_reading *figures = NULL;
    struct limit_fill fill;
    const struct limit_policy *policy;
    int result = reading_open(ctl, &reading);
    if (result != VALVECTL_OK)
        return result;
    if (metric_reading_create(reading.segment, &figures) == 0) {
        printf("%-24s %-15s %-8s %10s %10s %10s %10s %10s %10s\n", "POLICY", "ALGORITHM", "MODE",
               "LIMIT", "WINDOW", "HITS", "REFUSED", "NEAR", "SHADOW");
        for (uint32_t i = 0; (policy = limit_policy_at(reading.view, i)); i++)
            if (!policy->unlimited)
                print_policy(figures, policy);
        limit_fill(reading.view, &fill);
        printf("\ngeneration %" PRIu64 ", table: %" PRIu64 " of %" PRIu64 " cells live\n",
               limit_generation(reading.view), fill.live, fill.cells);
    }
    metric_reading_destroy(&figures);
    reading_close(&reading);
    return VALVECTL_OK;
}

static void print_state(const struct limit_policy *policy, const struct key_state *state)
{
    char limit[24] = "unlimited";
    if (state->limit != UINT64_MAX)
        snprintf(limit, sizeof(limit), "%" PRIu64, state->limit);
    if (policy->scope == POLICY_DISTRIBUTED) // what is left is for Redis to say
        printf("%-24s counted in Redis for all machines, limit %s; without it here %" PRIu64,
               policy->name, limit, state->used);
    else
        printf("%-24s used %" PRIu64 " of %s, %" PRIu64 " left", policy->name, state->used, limit,
               state->remaining);
    if (policy->scope != POLICY_DISTRIBUTED && state->limit == 0)
        printf(", refuses every request");
    else if (policy->scope != POLICY_DISTRIBUTED && state->reset_ns > 0)
        printf(", next free in %.1f s", (double)state->reset_ns / NS_PER_S);
    printf("%s%s\n", state->overridden ? ", a limit of its own" : "",
           state->shares_cell ? ", in a cell shared with other keys" : "");
}

// `policy` "": every one that counts by such a key. Returns how many were shown.
static int show(const struct reading *reading, const char *name, const struct limit_key *key)
{
    const struct limit_policy *policy;
    int shown = 0;
    for (uint32_t i = 0; (policy = limit_policy_at(reading->view, i)); i++) {
        struct key_state state;
        if ((name[0] && strcmp(name, policy->name) != 0) || !limit_key_fits(key, policy))
            continue;
        if (key_state_read(reading->view, i, key, &state) == 0) {
            print_state(policy, &state);
            shown++;
        }
    }
    return shown;
}

int command_limit_show(struct valvectl *ctl)
{
    char policy[LIMIT_NAME_MAX], text[KEY_TEXT_MAX];
    struct limit_key key;
    struct reading reading;
    if (!valvectl_take_key(ctl, policy, text))
        return VALVECTL_FINDING;
    const char *wrong = limit_key_read(text, &key);
    if (wrong) {
        fprintf(stderr, "valvectl: %s\n", wrong);
        return VALVECTL_FINDING;
    }
    int result = reading_open(ctl, &reading);
    if (result != VALVECTL_OK)
        return result;
    if (show(&reading, policy, &key) == 0) {
        fprintf(stderr, "valvectl: %s counts by such a key\n",
                policy[0] ? "no such policy" : "no policy");
        result = VALVECTL_FINDING;
    }
    reading_close(&reading);
    return result;
}

int command_limit_top(struct valvectl *ctl)
{
    struct top_key keys[TOP_SHOWN];
    struct segment *segment;
    uint64_t within_ms = TOP_WITHIN_MS, now_ns = clock_mono_ns();
    if (ctl->for_text && !valvectl_duration(ctl->for_text, &within_ms))
        return VALVECTL_FINDING;
    int result = valvectl_open_segment(ctl, &segment);
    if (result != VALVECTL_OK)
        return result;
    size_t n = top_read(segment, within_ms * NS_PER_MS, keys, TOP_SHOWN);
    printf("%10s %8s %8s  %-24s %s\n", "REFUSED", "+-", "AGO", "POLICY", "KEY");
    for (size_t i = 0; i < n; i++)
        printf("%10" PRIu64 " %8" PRIu64 " %6" PRIu64 " s  %-24s %s\n", keys[i].count,
               keys[i].error, (uint64_t)((now_ns - keys[i].last_ns) / NS_PER_S), keys[i].policy,
               keys[i].name);
    segment_close(&segment);
    return VALVECTL_OK;
}

static int list_networks(struct valvectl *ctl, enum operator_list list)
{
    static struct operator_view view; // large
    struct segment *segment;
    uint64_t now_ns = clock_mono_ns();
    int result = valvectl_open_segment(ctl, &segment);
    if (result != VALVECTL_OK)
        return result;
    if (operator_attach(segment, &view) == 0) {
        for (uint32_t i = 0; i < view.book.n_networks; i++) {
            const struct operator_network *network = &view.book.networks[i];
            char text[ADDRESS_TEXT_MAX];
            if (network->list != list || (network->until_ns && network->until_ns <= now_ns))
                continue;
            address_format(&network->cidr.network, text);
            printf("%s/%u", text, network->cidr.prefix_bits);
            if (network->until_ns)
                printf(" for %" PRIu64 " s more",
                       (uint64_t)((network->until_ns - now_ns) / NS_PER_S));
            puts("");
        }
    }
    segment_close(&segment);
    return VALVECTL_OK;
}

int command_deny_list(struct valvectl *ctl)
{
    return list_networks(ctl, OPERATOR_DENY);
}

int command_allow_list(struct valvectl *ctl)
{
    return list_networks(ctl, OPERATOR_ALLOW);
}
