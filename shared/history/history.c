#include "history/history.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/sequence.h"

#define DAY_S    86400
#define MINUTE_S 60
#define KEYED    (HISTORY_PLACES - HISTORY_FIXED)

struct row {
    _Atomic uint64_t stamp; // Unix seconds of its begin; 0: none
    _Atomic uint32_t values[HISTORY_PLACES];
};
struct name { // of a series with a key: "breaker_state:database"; "" for a free place
    _Atomic uint64_t sequence;
    _Atomic uint64_t words[HISTORY_NAME_MAX / sizeof(uint64_t)];
    _Atomic uint64_t used_s; // last written
};
struct history {
    _Atomic uint64_t rolled_s; // minutes before this one are made
    struct name names[KEYED];
    struct row seconds[HISTORY_SECONDS];
    struct row minutes[HISTORY_MINUTES];
};
_Static_assert(sizeof(struct row) == 392, "the layout of the segment");
_Static_assert(sizeof(struct history) <= 2 * 1024 * 1024, "the bound of the header");

static const struct history_series all_series[] = {
#define HISTORY(field, name_, unit_, rollup_, help_)                                               \
    {.name = (name_), .unit = (unit_), .help = (help_), .rollup = HISTORY_##rollup_},
#define HISTORY_OF(field, name_, unit_, rollup_, help_)                                            \
    {.name = (name_),                                                                              \
     .unit = (unit_),                                                                              \
     .help = (help_),                                                                              \
     .rollup = HISTORY_##rollup_,                                                                  \
     .has_key = true},
#include "history/history.def"
#undef HISTORY
#undef HISTORY_OF
};
enum { N_SERIES = sizeof(all_series) / sizeof(all_series[0]) };
_Static_assert((int)HISTORY_FIXED < HISTORY_PLACES, "places for keys");

const struct history_series *history_series_at(size_t index)
{
    return index < N_SERIES ? &all_series[index] : NULL;
}

size_t history_bytes(void)
{
    return sizeof(struct history);
}

// The names are part of the layout: a build that keeps other series at the same places is refused.
struct segment_section_spec history_section_spec(void)
{
    size_t layout[4 + N_SERIES] = {sizeof(struct history), sizeof(struct name),
                                   offsetof(struct history, seconds), HISTORY_SECONDS};
    for (size_t i = 0; i < N_SERIES; i++) {
        layout[4 + i] = all_series[i].rollup;
        for (const char *at = all_series[i].name; *at; at++)
            layout[4 + i] = layout[4 + i] * 31 + (size_t)(unsigned char)*at;
    }
    return (struct segment_section_spec){.name = HISTORY_SECTION_NAME,
                                         .bytes = sizeof(struct history),
                                         .layout_hash = segment_layout_hash(layout, 4 + N_SERIES)};
}

struct history *history_of(const struct segment *segment)
{
    uint64_t bytes = 0;
    struct history *history = segment_section(segment, HISTORY_SECTION_NAME, &bytes);
    return history && bytes >= sizeof(*history) ? history : NULL;
}

// ---- names --------------------------------------------------------------------------------------

static bool name_read(const struct name *name, char ret_text[HISTORY_NAME_MAX])
{
    if (!sequence_read(&name->sequence, name->words, ret_text, HISTORY_NAME_MAX))
        ret_text[0] = '\0';
    ret_text[HISTORY_NAME_MAX - 1] = '\0';
    return ret_text[0] != '\0';
}

static void name_write(struct name *name, const char *text)
{
    _Alignas(8) char padded[HISTORY_NAME_MAX] = "";
    (void)snprintf(padded, sizeof(padded), "%s", text);
    sequence_write(&name->sequence, name->words, padded, sizeof(padded));
}

static const struct history_series *series_of(const char *name, size_t len, bool has_key)
{
    for (size_t i = 0; i < N_SERIES; i++)
        if (all_series[i].has_key == has_key && strlen(all_series[i].name) == len &&
            memcmp(all_series[i].name, name, len) == 0)
            return &all_series[i];
    return NULL;
}

static bool key_is_valid(const char *key)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    return key[0] != '\0' && key[strspn(key, allowed)] == '\0';
}

static const struct history_series *keyed_series_of(const char *text)
{
    const char *colon = strchr(text, ':');
    return colon && key_is_valid(colon + 1) ? series_of(text, (size_t)(colon - text), true) : NULL;
}

const struct history_series *history_at(const struct history *history, uint32_t place,
                                        char ret_name[HISTORY_NAME_MAX])
{
    char own[HISTORY_NAME_MAX];
    char *text = ret_name ? ret_name : own;
    if (place < HISTORY_FIXED) {
        (void)snprintf(text, HISTORY_NAME_MAX, "%s", all_series[place].name);
        return &all_series[place];
    }
    if (place >= HISTORY_PLACES || !name_read(&history->names[place - HISTORY_FIXED], text))
        return NULL;
    return keyed_series_of(text);
}

// ---- places -------------------------------------------------------------------------------------

// First the old name goes, then its values: nobody reads them under the new one.
static void give_place(struct history *history, uint32_t place, const char *text, uint64_t now_s)
{
    struct name *name = &history->names[place - HISTORY_FIXED];
    uint32_t nothing;
    const float nan = NAN;
    memcpy(&nothing, &nan, sizeof(nothing));
    name_write(name, "");
    for (size_t i = 0; i < HISTORY_SECONDS; i++)
        atomic_store_explicit(&history->seconds[i].values[place], nothing, memory_order_release);
    for (size_t i = 0; i < HISTORY_MINUTES; i++)
        atomic_store_explicit(&history->minutes[i].values[place], nothing, memory_order_release);
    atomic_store_explicit(&name->used_s, now_s, memory_order_relaxed);
    name_write(name, text);
}

int history_take_place(struct history *history, const char *name, const char *key, uint64_t now_s,
                       uint32_t *ret_place)
{
    char text[HISTORY_NAME_MAX], found[HISTORY_NAME_MAX];
    uint32_t free_place = HISTORY_PLACES;
    int length = snprintf(text, sizeof(text), "%s:%s", name, key);
    if (length < 0 || (size_t)length >= sizeof(text) || !keyed_series_of(text))
        return -EINVAL;
    for (uint32_t place = HISTORY_FIXED; place < HISTORY_PLACES; place++) {
        const struct name *at = &history->names[place - HISTORY_FIXED];
        bool is_named = name_read(at, found);
        if (is_named && strcmp(found, text) == 0) {
            *ret_place = place;
            return 0;
        }
        uint64_t used_s = atomic_load_explicit(&at->used_s, memory_order_relaxed);
        if (free_place == HISTORY_PLACES && (!is_named || used_s + DAY_S < now_s))
            free_place = place;
    }
    if (free_place == HISTORY_PLACES)
        return -ENOSPC;
    give_place(history, free_place, text, now_s);
    *ret_place = free_place;
    return 0;
}

bool history_mend(struct history *history)
{
    char text[HISTORY_NAME_MAX];
    bool is_well = true;
    for (uint32_t i = 0; i < KEYED; i++)
        is_well = is_well && (!name_read(&history->names[i], text) || keyed_series_of(text));
    if (!is_well)
        memset(history, 0, sizeof(*history));
    return is_well;
}

// ---- rows ---------------------------------------------------------------------------------------

static struct row *second_row(struct history *history, uint64_t time_s)
{
    return &history->seconds[time_s % HISTORY_SECONDS];
}

static struct row *minute_row(struct history *history, uint64_t time_s)
{
    return &history->minutes[time_s / MINUTE_S % HISTORY_MINUTES];
}

static void row_write(struct row *row, uint64_t stamp, const float values[HISTORY_PLACES])
{
    atomic_store_explicit(&row->stamp, 0, memory_order_relaxed);
    for (size_t i = 0; i < HISTORY_PLACES; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof(bits));
        // Release: whoever sees a new value also sees that the row has no time (no fence: TSan
        // knows none).
        atomic_store_explicit(&row->values[i], bits, memory_order_release);
    }
    atomic_store_explicit(&row->stamp, stamp, memory_order_release);
}

static float row_value(const struct row *row, uint64_t stamp, uint32_t place)
{
    float value;
    if (atomic_load_explicit(&row->stamp, memory_order_acquire) != stamp)
        return NAN;
    uint32_t bits = atomic_load_explicit(&row->values[place], memory_order_acquire);
    if (atomic_load_explicit(&row->stamp, memory_order_relaxed) != stamp)
        return NAN;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

// ---- rolling up ---------------------------------------------------------------------------------

struct sum {
    double total, weight, largest, last;
    bool is_known;
};

static void sum_add(struct sum *sum, double value, double weight)
{
    if (isnan(value))
        return;
    sum->total += value * weight;
    sum->weight += weight;
    sum->largest = sum->is_known ? fmax(sum->largest, value) : value;
    sum->last = value;
    sum->is_known = true;
}

static float sum_result(const struct sum *sum, enum history_rollup rollup)
{
    if (!sum->is_known)
        return NAN;
    if (rollup == HISTORY_MAX)
        return (float)sum->largest;
    if (rollup == HISTORY_LAST || sum->weight <= 0)
        return (float)sum->last;
    return (float)(sum->total / sum->weight);
}

static void sum_add_row(struct sum *sum, const struct row *row, uint64_t stamp, uint32_t place,
                        enum history_rollup rollup)
{
    double weight = 1;
    if (rollup == HISTORY_MEAN_OF_REQUESTS)
        weight = row_value(row, stamp, HISTORY_PLACE_requests);
    sum_add(sum, row_value(row, stamp, place), isnan(weight) ? 0 : weight);
}

static void sum_add_seconds(struct sum *sum, const struct history *history, uint64_t from_s,
                            uint64_t to_s, uint32_t place, enum history_rollup rollup)
{
    for (uint64_t at = from_s; at < to_s; at++)
        sum_add_row(sum, &history->seconds[at % HISTORY_SECONDS], at, place, rollup);
}

static void minute_make(struct history *history, uint64_t minute_s)
{
    float values[HISTORY_PLACES];
    bool is_known = false;
    for (uint32_t place = 0; place < HISTORY_PLACES; place++) {
        const struct history_series *series = history_at(history, place, NULL);
        struct sum sum = {0};
        if (series)
            sum_add_seconds(&sum, history, minute_s, minute_s + MINUTE_S, place, series->rollup);
        values[place] = series ? sum_result(&sum, series->rollup) : NAN;
        is_known |= sum.is_known;
    }
    if (is_known)
        row_write(minute_row(history, minute_s), minute_s, values);
}

void history_write(struct history *history, uint64_t second_s, const float values[HISTORY_PLACES])
{
    uint64_t minute_s = second_s - second_s % MINUTE_S;
    row_write(second_row(history, second_s), second_s, values);
    for (uint32_t i = 0; i < KEYED; i++)
        if (!isnan(values[HISTORY_FIXED + i]))
            atomic_store_explicit(&history->names[i].used_s, second_s, memory_order_relaxed);
    uint64_t rolled_s = atomic_load_explicit(&history->rolled_s, memory_order_relaxed);
    if (rolled_s == minute_s)
        return;
    // The oldest seconds go with this minute's, so their minute is no longer whole.
    uint64_t oldest_s = minute_s - HISTORY_SECONDS + MINUTE_S;
    for (uint64_t at = rolled_s > oldest_s ? rolled_s : oldest_s; at < minute_s; at += MINUTE_S)
        minute_make(history, at);
    atomic_store_explicit(&history->rolled_s, minute_s, memory_order_relaxed);
}

float history_value(const struct history *history, uint32_t place, uint64_t from_s, uint32_t step_s)
{
    const struct history_series *series = history_at(history, place, NULL);
    struct sum sum = {0};
    if (!series)
        return NAN;
    if (step_s % MINUTE_S != 0 || from_s % MINUTE_S != 0) {
        sum_add_seconds(&sum, history, from_s, from_s + step_s, place, series->rollup);
        return sum_result(&sum, series->rollup);
    }
    for (uint64_t at = from_s; at < from_s + step_s; at += MINUTE_S) {
        const struct row *row = &history->minutes[at / MINUTE_S % HISTORY_MINUTES];
        if (atomic_load_explicit(&row->stamp, memory_order_acquire) == at)
            sum_add_row(&sum, row, at, place, series->rollup);
        else // not over yet
            sum_add_seconds(&sum, history, at, at + MINUTE_S, place, series->rollup);
    }
    return sum_result(&sum, series->rollup);
}
