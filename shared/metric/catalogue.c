#include "metric/catalogue.h"

#include <errno.h>
#include <math.h>

// A record whose form changes gets a new number: a catalogue of an older binary then begins anew.
enum record_type { RECORD_DEFINITION = 3, RECORD_SERIES = 4 };

// Followed by the bounds, then by name, unit and help, each ended by NUL.
struct definition_record {
    uint32_t bytes; // of the whole record, a multiple of CATALOGUE_ALIGN_BYTES
    uint8_t type;
    uint8_t kind;
    uint8_t n_bounds;
    uint8_t exemplars; // 0 or 1
    double scale;
};
// Followed by the rendered labels and NUL.
struct series_record {
    uint32_t bytes;
    uint8_t type;
    uint8_t unused;
    uint16_t word;
    _Atomic uint32_t definition; // offset of its record
    _Atomic uint32_t generation; // of the slot, when it was registered last
    uint32_t created_s;          // CLOCK_MONOTONIC
};
_Static_assert(sizeof(struct definition_record) == 16, "definition record layout");
_Static_assert(CATALOGUE_BOUNDS_MAX <= UINT8_MAX, "a number of bounds fits its field");
_Static_assert(sizeof(struct series_record) == 20, "series record layout");
_Static_assert(SLOT_VALUES <= UINT16_MAX, "a word index fits its field");

uint32_t catalogue_words(enum metric_kind kind, uint32_t n_bounds, bool exemplars)
{
    if (kind != METRIC_HISTOGRAM)
        return 1;
    return n_bounds + 2 + (exemplars ? (n_bounds + 1) * METRIC_EXEMPLAR_WORDS : 0);
}

double catalogue_scale(const struct metric_def *def)
{
    return def->scale == 0 ? 1 : def->scale; // exactly the "not given" of a table row
}

_Atomic uint32_t *catalogue_series_generation(char *catalogue, uint32_t offset)
{
    return &((struct series_record *)(void *)(catalogue + offset))->generation;
}

_Atomic uint32_t *catalogue_series_definition(char *catalogue, uint32_t offset)
{
    return &((struct series_record *)(void *)(catalogue + offset))->definition;
}

// ---- reading ------------------------------------------------------------------------------------

static bool is_sound_length(const struct catalogue_reader *reader, uint32_t offset)
{
    const struct definition_record *record = (const void *)(reader->bytes + offset);
    uint32_t left = reader->used - offset;
    return left >= sizeof(*record) && record->bytes >= sizeof(*record) && record->bytes <= left &&
           record->bytes % CATALOGUE_ALIGN_BYTES == 0;
}

static void mark_definition(struct catalogue_reader *reader, uint32_t offset)
{
    uint32_t bit = offset / CATALOGUE_ALIGN_BYTES;
    reader->definitions[bit / 64] |= 1ULL << (bit % 64);
}

int catalogue_reader_init(struct catalogue_reader *reader, const char *bytes, uint64_t used)
{
    if (used > SLOT_CATALOGUE_BYTES || used % CATALOGUE_ALIGN_BYTES != 0)
        return -EPROTO;
    *reader = (struct catalogue_reader){
        .bytes = bytes, .used = (uint32_t)used, .at = CATALOGUE_HEAD_BYTES};
    // A series may have moved on to a definition behind it (a new text for the same count).
    for (uint32_t at = CATALOGUE_HEAD_BYTES; at < used && is_sound_length(reader, at);) {
        const struct definition_record *record = (const void *)(bytes + at);
        if (record->type == RECORD_DEFINITION)
            mark_definition(reader, at);
        at += record->bytes;
    }
    return 0;
}

static bool is_definition_at(const struct catalogue_reader *reader, uint32_t offset)
{
    uint32_t bit = offset / CATALOGUE_ALIGN_BYTES;
    return offset < reader->used && offset % CATALOGUE_ALIGN_BYTES == 0 &&
           (reader->definitions[bit / 64] >> (bit % 64) & 1);
}

static bool are_bounds(const double *bounds, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (!isfinite(bounds[i]) || (i > 0 && !(bounds[i] > bounds[i - 1])))
            return false;
    }
    return true;
}

// Takes the next NUL-terminated string before `end`.
static const char *next_text(const char **cursor, const char *end)
{
    const char *text = *cursor;
    if (text >= end)
        return NULL;
    const char *nul = memchr(text, 0, (size_t)(end - text));
    if (!nul)
        return NULL;
    *cursor = nul + 1;
    return text;
}

// The record lies within the catalogue; nothing else of it is known to be sound.
static int decode_definition(struct catalogue_reader *reader, uint32_t offset,
                             struct catalogue_definition *ret_definition)
{
    if (reader->last.offset == offset) { // never 0: the head is there
        *ret_definition = reader->last;
        return 0;
    }
    const struct definition_record *record = (const void *)(reader->bytes + offset);
    const char *end = reader->bytes + offset + record->bytes;
    uint32_t n_bounds = record->n_bounds;
    bool is_histogram = record->kind == METRIC_HISTOGRAM;
    if (record->kind < METRIC_COUNTER || record->kind > METRIC_KIND_LAST ||
        n_bounds > CATALOGUE_BOUNDS_MAX || record->exemplars > 1 ||
        ((n_bounds > 0 || record->exemplars > 0) && !is_histogram) ||
        sizeof(*record) + n_bounds * sizeof(double) > record->bytes || !isfinite(record->scale) ||
        record->scale <= 0)
        return -EPROTO;
    const double *bounds = (const double *)(const void *)(record + 1);
    const char *cursor = (const char *)(bounds + n_bounds);
    const char *name = next_text(&cursor, end);
    const char *unit = name ? next_text(&cursor, end) : NULL;
    const char *help = unit ? next_text(&cursor, end) : NULL;
    if (!help || !catalogue_is_metric_name(name) || !catalogue_is_text(help) ||
        (*unit && !catalogue_is_metric_name(unit)) || !are_bounds(bounds, n_bounds))
        return -EPROTO;
    *ret_definition = (struct catalogue_definition){.offset = offset,
                                                    .kind = (enum metric_kind)record->kind,
                                                    .name = name,
                                                    .unit = unit,
                                                    .help = help,
                                                    .bounds = bounds,
                                                    .n_bounds = n_bounds,
                                                    .exemplars = record->exemplars != 0,
                                                    .scale = record->scale};
    reader->last = *ret_definition;
    return 0;
}

static int decode_series(struct catalogue_reader *reader, uint32_t offset,
                         struct catalogue_series *ret_series)
{
    const struct series_record *record = (const void *)(reader->bytes + offset);
    const char *cursor = (const char *)(record + 1);
    const char *labels = next_text(&cursor, reader->bytes + offset + record->bytes);
    uint32_t definition_at = atomic_load_explicit(&record->definition, memory_order_relaxed);
    struct catalogue_definition definition;
    if (!labels || !catalogue_is_labels(labels) || !is_definition_at(reader, definition_at) ||
        decode_definition(reader, definition_at, &definition) < 0)
        return -EPROTO;
    uint32_t n_words = catalogue_words(definition.kind, definition.n_bounds, definition.exemplars);
    if (record->word == 0 || record->word + n_words > SLOT_VALUES)
        return -EPROTO;
    *ret_series = (struct catalogue_series){
        .offset = offset,
        .definition = definition,
        .labels = labels,
        .generation = atomic_load_explicit(&record->generation, memory_order_relaxed),
        .word = record->word,
        .n_words = n_words,
        .created_s = record->created_s};
    return 0;
}

int catalogue_next(struct catalogue_reader *reader, struct catalogue_series *ret_series)
{
    uint32_t offset = reader->at;
    if (offset >= reader->used)
        return 0;
    if (!is_sound_length(reader, offset))
        return -EPROTO;
    const struct definition_record *record = (const void *)(reader->bytes + offset);
    int r;
    if (record->type == RECORD_SERIES) {
        r = decode_series(reader, offset, ret_series);
    } else if (record->type == RECORD_DEFINITION) {
        struct catalogue_series found = {.offset = offset};
        r = decode_definition(reader, offset, &found.definition);
        if (r == 0)
            *ret_series = found;
        mark_definition(reader, offset);
    } else {
        r = -EPROTO;
    }
    if (r < 0)
        return r;
    reader->at = offset + record->bytes;
    return record->type == RECORD_SERIES ? 1 : 2;
}

// ---- writing ------------------------------------------------------------------------------------

static uint32_t aligned(size_t bytes)
{
    return (uint32_t)((bytes + CATALOGUE_ALIGN_BYTES - 1) / CATALOGUE_ALIGN_BYTES *
                      CATALOGUE_ALIGN_BYTES);
}

// Room for a record of `bytes`, zeroed; NULL when there is none.
static char *grow(char *mirror, uint32_t *used, size_t bytes, uint32_t *ret_offset)
{
    uint32_t offset = *used ? *used : CATALOGUE_HEAD_BYTES;
    if (bytes > SLOT_CATALOGUE_BYTES - offset || aligned(bytes) > SLOT_CATALOGUE_BYTES - offset)
        return NULL;
    memset(mirror + offset, 0, aligned(bytes));
    *used = offset + aligned(bytes);
    *ret_offset = offset;
    return mirror + offset;
}

int catalogue_append_definition(char *mirror, uint32_t *used, const struct metric_def *def,
                                uint32_t *ret_offset)
{
    size_t bounds_bytes = def->n_bounds * sizeof(double);
    size_t name_bytes = strlen(def->name) + 1, unit_bytes = strlen(def->unit) + 1;
    size_t help_bytes = strlen(def->help) + 1;
    size_t bytes =
        sizeof(struct definition_record) + bounds_bytes + name_bytes + unit_bytes + help_bytes;
    uint32_t offset;
    char *at = grow(mirror, used, bytes, &offset);
    if (!at)
        return -ENOSPC;
    const struct definition_record record = {.bytes = aligned(bytes),
                                             .type = RECORD_DEFINITION,
                                             .kind = (uint8_t)def->kind,
                                             .n_bounds = (uint8_t)def->n_bounds,
                                             .exemplars = def->exemplars,
                                             .scale = catalogue_scale(def)};
    memcpy(at, &record, sizeof(record));
    at += sizeof(record);
    if (bounds_bytes)
        memcpy(at, def->bounds, bounds_bytes);
    memcpy(at + bounds_bytes, def->name, name_bytes);
    memcpy(at + bounds_bytes + name_bytes, def->unit, unit_bytes);
    memcpy(at + bounds_bytes + name_bytes + unit_bytes, def->help, help_bytes);
    *ret_offset = offset;
    return 0;
}

int catalogue_append_series(char *mirror, uint32_t *used, const struct catalogue_series *series,
                            uint32_t *ret_offset)
{
    size_t label_bytes = strlen(series->labels) + 1;
    size_t bytes = sizeof(struct series_record) + label_bytes;
    uint32_t offset;
    char *at = grow(mirror, used, bytes, &offset);
    if (!at)
        return -ENOSPC;
    const struct series_record record = {.bytes = aligned(bytes),
                                         .type = RECORD_SERIES,
                                         .word = (uint16_t)series->word,
                                         .definition = series->definition.offset,
                                         .generation = series->generation,
                                         .created_s = series->created_s};
    memcpy(at, &record, sizeof(record));
    memcpy(at + sizeof(record), series->labels, label_bytes);
    *ret_offset = offset;
    return 0;
}
