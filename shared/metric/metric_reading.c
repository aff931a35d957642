#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "metric/catalogue.h"
#include "metric/exemplar.h"

struct snapshot {
    struct slot_info info;
    uint64_t used; // 0: nothing in it, or nothing that can be read
    bool is_damaged;
    _Alignas(8) char catalogue[SLOT_CATALOGUE_BYTES];
    _Atomic uint64_t words[SLOT_VALUES];
};

struct metric_reading {
    struct snapshot *snapshots[SLOT_COUNT]; // NULL: slot not in use
};

double metric_scaled(uint64_t stored, double scale)
{
    double parts = nearbyint(1 / scale);
    bool is_part = scale < 1 && fabs(parts * scale - 1) < 1e-12;
    return is_part ? (double)stored / parts : (double)stored * scale;
}

double metric_series_value(const struct metric_series *series)
{
    uint64_t word = atomic_load_explicit(series->words, memory_order_relaxed);
    if (!metric_is_gauge(series->kind))
        return metric_scaled(word, series->scale);
    double value;
    memcpy(&value, &word, sizeof(value));
    return value;
}

bool metric_series_exemplar(const struct metric_series *series, uint32_t bucket,
                            struct metric_exemplar *ret_exemplar)
{
    return series->exemplars && bucket <= series->n_bounds &&
           exemplar_load(&series->words[exemplar_word(series->n_bounds, bucket)], ret_exemplar);
}

// ---- copying ------------------------------------------------------------------------------------

static void copy_slot(struct snapshot *snapshot)
{
    const struct slot_info *info = &snapshot->info;
    const _Atomic uint64_t *used_word = (const _Atomic uint64_t *)(const void *)info->catalogue;
    uint64_t used = atomic_load_explicit(used_word, memory_order_acquire);
    snapshot->is_damaged = used > SLOT_CATALOGUE_BYTES;
    snapshot->used = snapshot->is_damaged ? 0 : used;
    memcpy(snapshot->catalogue, info->catalogue, snapshot->used);
    for (uint32_t i = 0; used > 0 && i < SLOT_VALUES; i++)
        atomic_store_explicit(&snapshot->words[i],
                              atomic_load_explicit(&info->values[i], memory_order_relaxed),
                              memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
}

static struct snapshot *make_snapshot(const struct slot_info *info)
{
    struct snapshot *snapshot = malloc(sizeof(*snapshot));
    if (!snapshot)
        return NULL;
    snapshot->info = *info;
    copy_slot(snapshot);
    // Begun anew meanwhile: the slot is another's now, whose turn comes with the next reading.
    if (atomic_load_explicit(info->catalogue_sequence, memory_order_relaxed) != info->sequence_seen)
        snapshot->used = 0;
    return snapshot;
}

int metric_reading_create(const struct segment *segment, struct metric_reading **ret_reading)
{
    struct metric_reading *reading = calloc(1, sizeof(*reading));
    if (!reading)
        return -ENOMEM;
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        struct slot_info info;
        if (!slot_read(segment, i, &info))
            continue;
        reading->snapshots[i] = make_snapshot(&info);
        if (!reading->snapshots[i]) {
            metric_reading_destroy(&reading);
            return -ENOMEM;
        }
    }
    *ret_reading = reading;
    return 0;
}

void metric_reading_destroy(struct metric_reading **reading)
{
    if (!*reading)
        return;
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        free((*reading)->snapshots[i]);
    free(*reading);
    *reading = NULL;
}

// ---- walking ------------------------------------------------------------------------------------

static int walk_snapshot(const struct snapshot *snapshot, metric_each_fn *each, void *arg)
{
    struct catalogue_reader reader;
    struct catalogue_series found;
    int r = catalogue_reader_init(&reader, snapshot->catalogue, snapshot->used);
    while (r >= 0 && (r = catalogue_next(&reader, &found)) > 0) {
        bool current = snapshot->info.alive && found.generation == snapshot->info.generation;
        if (r != 1 || (metric_is_gauge(found.definition.kind) && !current))
            continue;
        const struct metric_series series = {.kind = found.definition.kind,
                                             .name = found.definition.name,
                                             .unit = found.definition.unit,
                                             .help = found.definition.help,
                                             .labels = found.labels,
                                             .bounds = found.definition.bounds,
                                             .n_bounds = found.definition.n_bounds,
                                             .scale = found.definition.scale,
                                             .current = current,
                                             .exemplars = found.definition.exemplars,
                                             .created_s = found.created_s,
                                             .words = &snapshot->words[found.word]};
        each(arg, &snapshot->info, &series);
    }
    return r < 0 || snapshot->is_damaged ? -EPROTO : 0;
}

size_t metric_reading_walk(const struct metric_reading *reading, metric_each_fn *each, void *arg)
{
    size_t damaged = 0;
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        if (reading->snapshots[i] && walk_snapshot(reading->snapshots[i], each, arg) < 0)
            damaged++;
    }
    return damaged;
}

int metric_walk_slot(const struct slot_info *slot, metric_each_fn *each, void *arg)
{
    struct snapshot *snapshot = make_snapshot(slot);
    if (!snapshot)
        return -ENOMEM;
    int r = walk_snapshot(snapshot, each, arg);
    free(snapshot);
    return r;
}

int metric_walk(const struct segment *segment, metric_each_fn *each, void *arg)
{
    struct metric_reading *reading;
    int r = metric_reading_create(segment, &reading);
    if (r < 0)
        return r;
    r = metric_reading_walk(reading, each, arg) > 0 ? -EPROTO : 0;
    metric_reading_destroy(&reading);
    return r;
}

// ---- looking up ---------------------------------------------------------------------------------

struct lookup {
    const char *name, *labels;
    double value;
    bool found;
};

static void look_at(void *arg, const struct slot_info *slot, const struct metric_series *series)
{
    struct lookup *lookup = arg;
    (void)slot;
    if (series->kind == METRIC_HISTOGRAM || strcmp(series->name, lookup->name) != 0 ||
        (lookup->labels && strcmp(series->labels, lookup->labels) != 0))
        return;
    double value = metric_series_value(series);
    if (series->kind == METRIC_GAUGE_MAX)
        lookup->value = lookup->found ? fmax(lookup->value, value) : value;
    else
        lookup->value += value;
    lookup->found = true;
}

bool metric_reading_lookup(const struct metric_reading *reading, const char *name,
                           const char *labels, double *ret_value)
{
    struct lookup lookup = {.name = name, .labels = labels};
    metric_reading_walk(reading, look_at, &lookup);
    if (lookup.found)
        *ret_value = lookup.value;
    return lookup.found;
}

bool metric_lookup(const struct segment *segment, const char *name, const char *labels,
                   double *ret_value)
{
    struct metric_reading *reading;
    if (metric_reading_create(segment, &reading) < 0)
        return false;
    bool found = metric_reading_lookup(reading, name, labels, ret_value);
    metric_reading_destroy(&reading);
    return found;
}
