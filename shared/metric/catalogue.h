// The catalogue of one slot: an 8-byte length, then records that are only ever appended. A
// definition is written once, its series refer to it. Everything here works on private copies: a
// reader's copy of foreign bytes, a writer's mirror of its own. Pure; thread: any.
//
// A record becomes visible by the length that is stored after it (one atomic step), so that a death
// in the middle of an append leaves nothing to repair. `generation` and `definition` of a series
// are the only words that change later, each in one step.
#ifndef VALVECHAIN_METRIC_CATALOGUE_H
#define VALVECHAIN_METRIC_CATALOGUE_H

#include "metric/metric.h"

#define CATALOGUE_HEAD_BYTES  8
#define CATALOGUE_BOUNDS_MAX  64
#define CATALOGUE_NAME_MAX    128
#define CATALOGUE_LABELS_MAX  1024 // rendered
#define CATALOGUE_ALIGN_BYTES 8

struct catalogue_definition {
    uint32_t offset; // of its record
    enum metric_kind kind;
    const char *name, *unit, *help;
    const double *bounds;
    uint32_t n_bounds;
    bool exemplars;
    double scale; // never 0
};

struct catalogue_series {
    uint32_t offset;
    struct catalogue_definition definition;
    const char *labels; // rendered
    uint32_t generation;
    uint32_t word, n_words;
    uint32_t created_s; // CLOCK_MONOTONIC
};

struct catalogue_reader {
    const char *bytes; // 8-byte aligned
    uint32_t used, at;
    struct catalogue_definition last; // most series stand behind their definition
    uint64_t definitions[SLOT_CATALOGUE_BYTES / CATALOGUE_ALIGN_BYTES / 64]; // where they begin
};

// `bytes` holds `used` bytes including the head; it must outlive the reader and what it returns.
// -EPROTO when `used` cannot be.
int catalogue_reader_init(struct catalogue_reader *reader, const char *bytes, uint64_t used);
// The next record: 1 a series, 2 a definition, 0 the end, -EPROTO for anything that does not parse:
// the reader trusts no byte, and what it returns is fit for exposition as it is.
int catalogue_next(struct catalogue_reader *reader, struct catalogue_series *ret_series);

// Appends to a mirror of SLOT_CATALOGUE_BYTES; -ENOSPC when it does not fit. The caller publishes.
int catalogue_append_definition(char *mirror, uint32_t *used, const struct metric_def *def,
                                uint32_t *ret_offset);
int catalogue_append_series(char *mirror, uint32_t *used, const struct catalogue_series *series,
                            uint32_t *ret_offset); // offset and n_words of it are not read
// The two words of a series that change, in the shared catalogue.
_Atomic uint32_t *catalogue_series_generation(char *catalogue, uint32_t offset);
_Atomic uint32_t *catalogue_series_definition(char *catalogue, uint32_t offset);

uint32_t catalogue_words(enum metric_kind kind, uint32_t n_bounds, bool exemplars);
double catalogue_scale(const struct metric_def *def); // 0 means 1

// Renders name="value",... from comma-separated names, escaped for exposition; bytes that are not
// UTF-8 become '?'. -EINVAL for bad label names, -ENOSPC beyond CATALOGUE_LABELS_MAX.
int catalogue_render_labels(const char *names, const char *const *values,
                            char ret_labels[CATALOGUE_LABELS_MAX]);
bool catalogue_is_metric_name(const char *name);
bool catalogue_is_labels(const char *labels); // rendered ones
bool catalogue_is_text(const char *text);     // UTF-8 without control characters but \n and \t

#endif
