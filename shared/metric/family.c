#include "metric/family.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

static uint64_t hash_text(uint64_t hash, const char *text)
{
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 1099511628211ULL;
    return hash ^ (hash >> 29);
}

// The family of a name, made when there is none.
static uint32_t put_family(struct family_set *set, const struct metric_series *from)
{
    uint32_t at = (uint32_t)hash_text(14695981039346656037ULL, from->name) & set->mask;
    for (; set->family_table[at]; at = (at + 1) & set->mask) {
        uint32_t index = set->family_table[at] - 1;
        if (strcmp(set->families[index].name, from->name) == 0)
            return index;
    }
    set->families[set->n_families] = (struct family){.name = from->name,
                                                     .unit = from->unit,
                                                     .help = from->help,
                                                     .kind = from->kind,
                                                     .scale = from->scale,
                                                     .bounds = from->bounds,
                                                     .n_bounds = from->n_bounds,
                                                     .exemplars = from->exemplars,
                                                     .first = FAMILY_END};
    set->family_table[at] = ++set->n_families;
    return set->n_families - 1;
}

static void append_to_family(struct family_set *set, struct family *family, uint32_t index)
{
    if (family->first == FAMILY_END)
        family->first = index;
    else
        set->series[family->last].next = index;
    family->last = index;
}

static struct family_series *put_series(struct family_set *set, uint32_t family, const char *labels)
{
    uint32_t at = (uint32_t)hash_text(family * 0x9e3779b97f4a7c15ULL, labels) & set->mask;
    for (; set->series_table[at]; at = (at + 1) & set->mask) {
        struct family_series *series = &set->series[set->series_table[at] - 1];
        if (series->family == family && strcmp(series->labels, labels) == 0)
            return series;
    }
    struct family_series *series = &set->series[set->n_series];
    *series = (struct family_series){
        .labels = labels, .family = family, .next = FAMILY_END, .created_s = UINT32_MAX};
    if (set->families[family].kind == METRIC_HISTOGRAM) {
        series->buckets = set->buckets + set->n_buckets;
        set->n_buckets += set->families[family].n_bounds + 1;
        if (set->families[family].exemplars) {
            series->exemplars = set->exemplars + set->n_exemplars;
            set->n_exemplars += set->families[family].n_bounds + 1;
        }
    } else if (set->families[family].kind == METRIC_GAUGE_MAX) {
        series->rest = -INFINITY;
    }
    append_to_family(set, &set->families[family], set->n_series);
    set->series_table[at] = ++set->n_series;
    return series;
}

static bool fits(const struct family *family, const struct metric_series *from)
{
    return family->kind == from->kind && family->n_bounds == from->n_bounds &&
           family->exemplars == from->exemplars &&
           (family->n_bounds == 0 ||
            memcmp(family->bounds, from->bounds, family->n_bounds * sizeof(double)) == 0);
}

static void add_stored(const struct family *family, struct family_series *series,
                       const struct metric_series *from, uint64_t stored)
{
    if (memcmp(&family->scale, &from->scale, sizeof(family->scale)) == 0)
        series->raw += stored;
    else
        series->rest += metric_scaled(stored, from->scale);
}

// Of several processes' the newest one.
static void take_exemplars(struct family_series *series, const struct metric_series *from)
{
    for (uint32_t i = 0; series->exemplars != NULL && i <= from->n_bounds; i++) {
        struct metric_exemplar exemplar;
        if (metric_series_exemplar(from, i, &exemplar) &&
            exemplar.wall_s > series->exemplars[i].wall_s)
            series->exemplars[i] = exemplar;
    }
}

static void add_up(struct family_set *set, const struct metric_series *from)
{
    uint32_t index = put_family(set, from);
    const struct family *family = &set->families[index];
    if (!fits(family, from))
        return;
    struct family_series *series = put_series(set, index, from->labels);
    if (from->created_s < series->created_s)
        series->created_s = from->created_s;
    if (from->kind == METRIC_GAUGE) {
        series->rest += metric_series_value(from);
    } else if (from->kind == METRIC_GAUGE_MAX) {
        series->rest = fmax(series->rest, metric_series_value(from));
    } else if (from->kind == METRIC_COUNTER) {
        add_stored(family, series, from, atomic_load_explicit(from->words, memory_order_relaxed));
    } else {
        for (uint32_t i = 0; i <= from->n_bounds; i++)
            series->buckets[i] += atomic_load_explicit(&from->words[i], memory_order_relaxed);
        add_stored(family, series, from,
                   atomic_load_explicit(&from->words[from->n_bounds + 1], memory_order_relaxed));
        take_exemplars(series, from);
    }
}

struct pass {
    struct family_set *set;
    bool current;
    size_t n_series, n_buckets, n_exemplars;
};

static void count_series(void *arg, const struct slot_info *slot,
                         const struct metric_series *series)
{
    struct pass *pass = arg;
    (void)slot;
    pass->n_series++;
    if (series->kind == METRIC_HISTOGRAM)
        pass->n_buckets += series->n_bounds + 1;
    if (series->exemplars)
        pass->n_exemplars += series->n_bounds + 1;
}

static void add_series_of_pass(void *arg, const struct slot_info *slot,
                               const struct metric_series *series)
{
    struct pass *pass = arg;
    (void)slot;
    if (series->current == pass->current)
        add_up(pass->set, series);
}

static int reserve(struct family_set *set, const struct pass *counted)
{
    size_t n = counted->n_series, slots = 64;
    while (slots < n * 2)
        slots *= 2;
    set->mask = (uint32_t)slots - 1;
    set->families = calloc(n + 1, sizeof(*set->families));
    set->series = calloc(n + 1, sizeof(*set->series));
    set->family_table = calloc(slots, sizeof(*set->family_table));
    set->series_table = calloc(slots, sizeof(*set->series_table));
    set->buckets = calloc(counted->n_buckets + 1, sizeof(*set->buckets));
    set->exemplars = calloc(counted->n_exemplars + 1, sizeof(*set->exemplars));
    return set->families && set->series && set->exemplars && set->family_table &&
                   set->series_table && set->buckets
               ? 0
               : -ENOMEM;
}

int family_set_init(struct family_set *set, const struct metric_reading *reading)
{
    struct pass pass = {.set = set};
    *set = (struct family_set){0};
    size_t n_damaged = metric_reading_walk(reading, count_series, &pass);
    int r = reserve(set, &pass);
    set->n_damaged = n_damaged;
    if (r < 0) {
        family_set_fini(set);
        return r;
    }
    // The present holders first: their kinds, help and bounds are what the group shows.
    pass.current = true;
    metric_reading_walk(reading, add_series_of_pass, &pass);
    pass.current = false;
    metric_reading_walk(reading, add_series_of_pass, &pass);
    return 0;
}

void family_set_fini(struct family_set *set)
{
    free(set->families);
    free(set->series);
    free(set->family_table);
    free(set->series_table);
    free(set->buckets);
    free(set->exemplars);
    *set = (struct family_set){0};
}
