// valvectl metrics: every series of every slot by its own description; no name is compiled in.
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "metric/metric.h"
#include "valvectl.h"

struct figure { // one number on the screen
    char *key;
    double value;
};
struct listing {
    const char *prefix;
    struct figure *figures;
    size_t n, cap;
    json_t *json;
};

static void listing_fini(struct listing *listing)
{
    for (size_t i = 0; i < listing->n; i++)
        free(listing->figures[i].key);
    free(listing->figures);
    *listing = (struct listing){.prefix = listing->prefix};
}

static void add_figure(struct listing *listing, const struct slot_info *slot, const char *name,
                       const char *suffix, const char *labels, double value)
{
    char key[512];
    if (listing->n == listing->cap) {
        size_t cap = listing->cap ? listing->cap * 2 : 256;
        struct figure *grown = realloc(listing->figures, cap * sizeof(*grown));
        if (!grown)
            return;
        listing->figures = grown;
        listing->cap = cap;
    }
    snprintf(key, sizeof(key), "%s@%s %s%s%s%s%s", slot->name, slot->instance, name, suffix,
             labels[0] ? "{" : "", labels, labels[0] ? "}" : "");
    char *copy = strdup(key);
    if (copy)
        listing->figures[listing->n++] = (struct figure){copy, value};
}

static uint64_t histogram_count(const struct metric_series *series)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i <= series->n_bounds; i++)
        count += atomic_load_explicit(&series->words[i], memory_order_relaxed);
    return count;
}

static double histogram_sum(const struct metric_series *series)
{
    uint64_t sum = atomic_load_explicit(&series->words[series->n_bounds + 1], memory_order_relaxed);
    return (double)sum * (series->scale > 0 ? series->scale : 1.0);
}

static void each_series(void *arg, const struct slot_info *slot, const struct metric_series *series)
{
    struct listing *listing = arg;
    if (strncmp(series->name, listing->prefix, strlen(listing->prefix)) != 0)
        return;
    if (listing->json) {
        json_t *entry = json_pack("{s:s, s:s, s:b, s:s, s:s}", "process", slot->name, "instance",
                                  slot->instance, "alive", slot->alive, "name", series->name,
                                  "labels", series->labels);
        if (series->kind == METRIC_HISTOGRAM) {
            json_object_set_new(entry, "count", json_integer((json_int_t)histogram_count(series)));
            json_object_set_new(entry, "sum", json_real(histogram_sum(series)));
        } else {
            json_t *value = json_real(metric_series_value(series));
            // JSON has no NaN: what could not be measured is null.
            json_object_set_new(entry, "value", value != NULL ? value : json_null());
        }
        json_array_append_new(listing->json, entry);
        return;
    }
    if (series->kind == METRIC_HISTOGRAM) {
        add_figure(listing, slot, series->name, "_count", series->labels,
                   (double)histogram_count(series));
        add_figure(listing, slot, series->name, "_sum", series->labels, histogram_sum(series));
    } else {
        add_figure(listing, slot, series->name, "", series->labels, metric_series_value(series));
    }
}

static const struct figure *find_figure(const struct listing *listing, const char *key, size_t hint)
{
    if (hint < listing->n && strcmp(listing->figures[hint].key, key) == 0)
        return &listing->figures[hint];
    for (size_t i = 0; i < listing->n; i++) {
        if (strcmp(listing->figures[i].key, key) == 0)
            return &listing->figures[i];
    }
    return NULL;
}

static void print_figures(const struct listing *now, const struct listing *before)
{
    for (size_t i = 0; i < now->n; i++) {
        const struct figure *figure = &now->figures[i];
        if (!before) {
            printf("%-90s %.15g\n", figure->key, figure->value);
            continue;
        }
        const struct figure *old = find_figure(before, figure->key, i);
        double step = figure->value - (old ? old->value : 0);
        if (fabs(step) > 0)
            printf("%-90s %.15g (%+.6g)\n", figure->key, figure->value, step);
    }
    fflush(stdout);
}

static void print_json(struct listing *listing, size_t flags)
{
    json_dumpf(listing->json, stdout, flags);
    puts("");
    fflush(stdout);
    json_decref(listing->json);
    listing->json = NULL;
}

struct watch {
    const struct segment *segment;
    bool json; // one array of all series a line
    struct listing before;
    uint64_t rounds;
};

static void on_tick(uv_timer_t *timer)
{
    struct watch *watch = timer->data;
    struct listing now = {.prefix = watch->before.prefix,
                          .json = watch->json ? json_array() : NULL};
    metric_walk(watch->segment, each_series, &now);
    if (now.json) {
        print_json(&now, JSON_COMPACT);
        return;
    }
    printf("--- %llu s\n", (unsigned long long)++watch->rounds);
    print_figures(&now, &watch->before);
    listing_fini(&watch->before);
    watch->before = now;
}

// Until interrupted: the default action of SIGINT ends the program, which holds nothing.
static void watch_figures(const struct segment *segment, struct listing *first, bool json)
{
    uv_loop_t loop;
    uv_timer_t timer;
    struct watch watch = {.segment = segment, .json = json, .before = *first};
    uv_loop_init(&loop);
    uv_timer_init(&loop, &timer);
    timer.data = &watch;
    uv_timer_start(&timer, on_tick, 1000, 1000);
    uv_run(&loop, UV_RUN_DEFAULT);
}

int command_metrics(struct valvectl *ctl)
{
    struct segment *segment;
    int result = valvectl_open_segment(ctl, &segment);
    if (result != VALVECTL_OK)
        return result;
    struct listing listing = {.prefix = ctl->argc > 0 ? ctl->argv[0] : ""};
    if (ctl->json)
        listing.json = json_array();
    metric_walk(segment, each_series, &listing);
    if (listing.json)
        print_json(&listing, ctl->watch ? JSON_COMPACT : JSON_INDENT(1));
    else
        print_figures(&listing, NULL);
    if (ctl->watch)
        watch_figures(segment, &listing, ctl->json);
    listing_fini(&listing);
    segment_close(&segment);
    return VALVECTL_OK;
}
