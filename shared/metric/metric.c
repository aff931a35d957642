#include "metric/metric.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"
#include "metric/catalogue.h"
#include "metric/exemplar.h"
#include "metric/latency.h"

// A definition's bounds in stored units, for metric_observe.
struct bounds {
    uint32_t definition; // offset
    uint32_t n;
    bool exemplars;
    uint64_t upper[CATALOGUE_BOUNDS_MAX];
};

struct set_series {
    uint64_t hash; // of name and labels
    struct catalogue_series in;
};

struct metric_set {
    struct slot *slot;
    _Atomic uint64_t *words;
    char *catalogue;                // the shared one
    char *mirror;                   // what we know to be in it
    struct catalogue_reader reader; // of the mirror, at its end
    uint32_t used;
    uint32_t next_word;
    struct set_series *series;
    size_t n_series, max_series;
    struct bounds *bounds;
    size_t n_bounds, max_bounds;
    uint16_t bounds_of_word[SLOT_VALUES]; // index into `bounds` plus 1; 0: no histogram
    metric_id dropped;
    struct buckets latency; // n 0: latency_bounds
};

enum {
#define METRIC_ROWS "metric/own_metrics.def"
#include "metric/metric_enum.inc"
    N_METRICS
};
static const struct metric_def own_defs[N_METRICS] = {
#include "metric/metric_table.inc"
#undef METRIC_ROWS
};
const struct metric_def *const metric_damaged_def = &own_defs[METRIC_INDEX_damaged];
const double latency_bounds[LATENCY_N_BOUNDS] = {BUCKETS_LATENCY_S};

static _Atomic uint64_t *used_word(char *catalogue)
{
    return (_Atomic uint64_t *)(void *)catalogue;
}

static uint64_t hash_series(const char *name, const char *labels)
{
    uint64_t hash = 14695981039346656037ULL;
    for (const char *c = name; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 1099511628211ULL;
    hash = (hash ^ '{') * 1099511628211ULL;
    for (const char *c = labels; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 1099511628211ULL;
    return hash;
}

static int add_series(struct metric_set *set, const struct catalogue_series *series)
{
    if (set->n_series == set->max_series) {
        size_t max = set->max_series ? set->max_series * 2 : 64;
        struct set_series *grown = reallocarray(set->series, max, sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        set->series = grown;
        set->max_series = max;
    }
    set->series[set->n_series++] = (struct set_series){
        .hash = hash_series(series->definition.name, series->labels), .in = *series};
    if (set->next_word < series->word + series->n_words)
        set->next_word = series->word + series->n_words;
    return 0;
}

// ---- opening ------------------------------------------------------------------------------------

static int learn_catalogue(struct metric_set *set)
{
    uint64_t used = atomic_load(used_word(set->catalogue));
    struct catalogue_series series;
    if (used > SLOT_CATALOGUE_BYTES)
        return -EPROTO;
    memcpy(set->mirror, set->catalogue, used);
    int r = catalogue_reader_init(&set->reader, set->mirror, used);
    if (r < 0)
        return r;
    set->used = (uint32_t)used;
    while ((r = catalogue_next(&set->reader, &series)) > 0) {
        int added = r == 1 ? add_series(set, &series) : 0;
        if (added < 0)
            return added;
    }
    return r;
}

static void begin_anew(struct metric_set *set)
{
    // In this order: see slot_catalogue_sequence.
    atomic_store(used_word(set->catalogue), 0);
    atomic_fetch_add(slot_catalogue_sequence(set->slot), 2);
    for (uint32_t i = 0; i < SLOT_VALUES; i++)
        atomic_store_explicit(&set->words[i], 0, memory_order_relaxed);
    (void)catalogue_reader_init(&set->reader, set->mirror, 0);
    set->used = 0;
    set->next_word = 1;
    set->n_series = 0;
}

int metric_set_open(struct slot *slot, struct metric_set **ret_set)
{
    struct metric_set *set = calloc(1, sizeof(*set));
    if (!set)
        return -ENOMEM;
    set->slot = slot;
    set->words = slot_values(slot);
    set->catalogue = slot_catalogue(slot);
    set->next_word = 1;
    set->mirror = calloc(1, SLOT_CATALOGUE_BYTES);
    int r = set->mirror ? learn_catalogue(set) : -ENOMEM;
    if (r == -EPROTO) {
        begin_anew(set);
        r = 0;
    }
    if (r < 0) {
        metric_set_close(&set);
        return r;
    }
    set->dropped = metric_register(set, &own_defs[METRIC_INDEX_dropped], NULL);
    *ret_set = set;
    return 0;
}

void metric_set_close(struct metric_set **set)
{
    if (!*set)
        return;
    free((*set)->mirror);
    free((*set)->series);
    free((*set)->bounds);
    free(*set);
    *set = NULL;
}

void metric_set_latency_buckets(struct metric_set *set, const struct buckets *buckets)
{
    set->latency = *buckets;
}

_Atomic uint64_t *metric_words(const struct metric_set *set)
{
    return set->words;
}

// ---- registering --------------------------------------------------------------------------------

// A change of unit or help only does not end a series; a change of what is counted does.
static bool counts_alike(const struct catalogue_definition *definition,
                         const struct metric_def *def)
{
    double scale = catalogue_scale(def);
    return definition->kind == def->kind && definition->n_bounds == def->n_bounds &&
           definition->exemplars == def->exemplars &&
           memcmp(&definition->scale, &scale, sizeof(scale)) == 0 &&
           (def->n_bounds == 0 ||
            memcmp(definition->bounds, def->bounds, def->n_bounds * sizeof(double)) == 0);
}

static bool is_same_definition(const struct catalogue_definition *definition,
                               const struct metric_def *def)
{
    return strcmp(definition->name, def->name) == 0 && strcmp(definition->unit, def->unit) == 0 &&
           strcmp(definition->help, def->help) == 0 && counts_alike(definition, def);
}

static bool is_fit(const struct metric_def *def)
{
    double scale = catalogue_scale(def);
    if (def->n_bounds > (def->kind == METRIC_HISTOGRAM ? CATALOGUE_BOUNDS_MAX : 0))
        return false;
    for (uint32_t i = 0; i < def->n_bounds; i++) {
        if (!isfinite(def->bounds[i]) || (i > 0 && def->bounds[i] <= def->bounds[i - 1]))
            return false;
    }
    return catalogue_is_metric_name(def->name) && catalogue_is_text(def->help) &&
           (!*def->unit || catalogue_is_metric_name(def->unit)) && isfinite(scale) && scale > 0;
}

static struct set_series *find_series(struct metric_set *set, const struct metric_def *def,
                                      const char *labels)
{
    uint64_t hash = hash_series(def->name, labels);
    for (size_t i = 0; i < set->n_series; i++) {
        struct set_series *series = &set->series[i];
        if (series->hash == hash && counts_alike(&series->in.definition, def) &&
            strcmp(series->in.definition.name, def->name) == 0 &&
            strcmp(series->in.labels, labels) == 0)
            return series;
    }
    return NULL;
}

// What was appended to the mirror, through the reader's eyes: what we publish, everybody can read.
static int read_appended(struct metric_set *set, uint32_t used, struct catalogue_series *ret_series)
{
    set->reader.used = used;
    int r = catalogue_next(&set->reader, ret_series);
    return r > 0 ? 0 : -EPROTO;
}

static int put_definition(struct metric_set *set, const struct metric_def *def, uint32_t *used,
                          struct catalogue_definition *ret_definition)
{
    for (size_t i = set->n_series; i > 0; i--) {
        const struct catalogue_definition *definition = &set->series[i - 1].in.definition;
        if (is_same_definition(definition, def)) {
            *ret_definition = *definition;
            return 0;
        }
    }
    uint32_t offset;
    struct catalogue_series appended;
    int r = catalogue_append_definition(set->mirror, used, def, &offset);
    if (r == 0)
        r = read_appended(set, *used, &appended);
    if (r == 0)
        *ret_definition = appended.definition;
    return r;
}

// Copies what was appended to the mirror into the shared catalogue and makes it visible.
static void publish(struct metric_set *set, uint32_t used)
{
    uint32_t from = set->used ? set->used : CATALOGUE_HEAD_BYTES;
    if (used == set->used)
        return;
    memcpy(set->catalogue + from, set->mirror + from, used - from);
    set->used = used;
    atomic_store_explicit(used_word(set->catalogue), used, memory_order_release);
}

static int append_series(struct metric_set *set, const struct metric_def *def, const char *labels,
                         struct catalogue_series *ret_series)
{
    struct catalogue_definition definition = {0};
    uint32_t used = set->used, offset;
    if (catalogue_words(def->kind, def->n_bounds, def->exemplars) > SLOT_VALUES - set->next_word)
        return -ENOSPC;
    int r = put_definition(set, def, &used, &definition);
    const struct catalogue_series series = {.definition = definition,
                                            .labels = labels,
                                            .generation = slot_generation(set->slot),
                                            .word = set->next_word,
                                            .created_s = (uint32_t)(clock_mono_ns() / NS_PER_S)};
    if (r == 0)
        r = catalogue_append_series(set->mirror, &used, &series, &offset);
    if (r == 0)
        r = read_appended(set, used, ret_series);
    if (r == 0)
        r = add_series(set, ret_series);
    if (r == 0)
        publish(set, used);
    return r;
}

// The series of a predecessor becomes ours: counters go on, gauges begin at 0.
static int renew_series(struct metric_set *set, const struct metric_def *def,
                        struct set_series *series)
{
    uint32_t generation = slot_generation(set->slot);
    if (series->in.generation == generation)
        return 0;
    if (!is_same_definition(&series->in.definition, def)) {
        struct catalogue_definition definition;
        uint32_t used = set->used;
        int r = put_definition(set, def, &used, &definition);
        if (r < 0)
            return r;
        publish(set, used);
        series->in.definition = definition;
        atomic_store_explicit(catalogue_series_definition(set->catalogue, series->in.offset),
                              definition.offset, memory_order_release);
    }
    if (metric_is_gauge(def->kind))
        atomic_store_explicit(&set->words[series->in.word], 0, memory_order_relaxed);
    series->in.generation = generation;
    atomic_store_explicit(catalogue_series_generation(set->catalogue, series->in.offset),
                          generation, memory_order_release);
    return 0;
}

// ---- histograms ---------------------------------------------------------------------------------

static uint64_t stored_bound(double bound, double scale)
{
    double stored = bound / scale, nearest = nearbyint(stored);
    // 0.005 s in ns is 5000000 and not 4999999.9999; a bound between two integers holds the lower.
    double whole = fabs(stored - nearest) <= 1e-9 * fabs(nearest) ? nearest : floor(stored);
    if (whole < 0)
        return 0;
    return whole >= 18446744073709549568.0 ? UINT64_MAX : (uint64_t)whole;
}

static int index_bounds(struct metric_set *set, const struct catalogue_series *series)
{
    const struct catalogue_definition *definition = &series->definition;
    size_t i = 0;
    while (i < set->n_bounds && set->bounds[i].definition != definition->offset)
        i++;
    if (i == set->n_bounds) {
        if (set->n_bounds == set->max_bounds) {
            size_t max = set->max_bounds ? set->max_bounds * 2 : 8;
            struct bounds *grown = reallocarray(set->bounds, max, sizeof(*grown));
            if (!grown)
                return -ENOMEM;
            set->bounds = grown;
            set->max_bounds = max;
        }
        struct bounds *bounds = &set->bounds[set->n_bounds++];
        bounds->definition = definition->offset;
        bounds->n = definition->n_bounds;
        bounds->exemplars = definition->exemplars;
        for (uint32_t b = 0; b < bounds->n; b++)
            bounds->upper[b] = stored_bound(definition->bounds[b], definition->scale);
    }
    set->bounds_of_word[series->word] = (uint16_t)(i + 1);
    return 0;
}

metric_id metric_register(struct metric_set *set, const struct metric_def *given,
                          const char *const *label_values)
{
    struct metric_def own = *given;
    const struct metric_def *def = &own;
    if (given->bounds == latency_bounds && set->latency.n > 0) {
        own.bounds = set->latency.upper;
        own.n_bounds = set->latency.n;
    }
    char labels[CATALOGUE_LABELS_MAX];
    struct catalogue_series added;
    const struct catalogue_series *found = &added;
    struct catalogue_reader before = set->reader;
    int r = is_fit(def) ? catalogue_render_labels(def->labels, label_values, labels) : -EINVAL;
    if (r == 0) {
        struct set_series *series = find_series(set, def, labels);
        found = series ? &series->in : &added;
        r = series ? renew_series(set, def, series) : append_series(set, def, labels, &added);
        if (r < 0)
            set->reader = before; // what was not published is written over by the next one
    }
    if (r == 0 && def->kind == METRIC_HISTOGRAM)
        r = index_bounds(set, found);
    if (r < 0) {
        metric_add(set, set->dropped, 1);
        return 0;
    }
    return found->word;
}

// ---- writing ------------------------------------------------------------------------------------

void metric_add(struct metric_set *set, metric_id id, uint64_t n)
{
    ASSERT(id < SLOT_VALUES);
    metric_add_at(set->words, id, n);
}

void metric_gauge(struct metric_set *set, metric_id id, double value)
{
    ASSERT(id < SLOT_VALUES);
    metric_set_at(set->words, id, value);
}

// NULL: not registered.
static const struct bounds *observe(struct metric_set *set, metric_id id, uint64_t value,
                                    uint32_t *ret_bucket)
{
    ASSERT(id < SLOT_VALUES);
    if (set->bounds_of_word[id] == 0)
        return NULL;
    const struct bounds *bounds = &set->bounds[set->bounds_of_word[id] - 1];
    uint32_t bucket = 0;
    for (uint32_t i = 0; i < bounds->n; i++) // few, and without a branch to mispredict
        bucket += value > bounds->upper[i];
    metric_add_at(set->words, id + bucket, 1);
    metric_add_at(set->words, id + bounds->n + 1, value);
    *ret_bucket = bucket;
    return bounds;
}

void metric_observe(struct metric_set *set, metric_id id, uint64_t value)
{
    uint32_t bucket;
    (void)observe(set, id, value, &bucket);
}

void metric_observe_traced(struct metric_set *set, metric_id id, uint64_t value,
                           const struct metric_trace *trace)
{
    uint32_t bucket;
    const struct bounds *bounds = observe(set, id, value, &bucket);
    if (bounds == NULL || !bounds->exemplars)
        return;
    const struct metric_exemplar exemplar = {
        .trace = *trace, .value = value, .wall_s = (uint32_t)(clock_wall_ns() / NS_PER_S)};
    exemplar_store(&set->words[id + exemplar_word(bounds->n, bucket)], &exemplar);
}
