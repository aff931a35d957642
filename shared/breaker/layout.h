// How breakers lie in the segment. Private to this library and its tests.
//
// State section: the published definitions and one cell per breaker. Window section: one line per
// slot and breaker, written by the slot's holder (others only take back what is unused or was held
// by the dead). Every word is valid by itself: a kill -9 between two stores leaves no torn fact.
#ifndef VALVECHAIN_BREAKER_LAYOUT_H
#define VALVECHAIN_BREAKER_LAYOUT_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>

#include "breaker/breaker.h"

#define BREAKER_BUCKETS_MAX 60
#define BREAKER_KINDS       4 // success, failure, timeout (as breaker_outcome), and slow ones of these
#define BREAKER_SLOW        3
#define BREAKER_REFUSALS    4 // open, capacity, ramp, forced
#define BREAKER_TEXT_WORDS  ((BREAKER_AUTHOR_MAX + BREAKER_REASON_MAX) / 8)

// Why a generation began, tagged with it.
struct breaker_cell_evidence {
    _Atomic uint64_t outcomes[BREAKER_KINDS]; // of a command: its length in ms, and zeros
    _Atomic uint64_t rule;                    // enum breaker_rule, from bit 8 failures in a row
};

// One breaker as all processes see it. Every transition but `state` itself is written after the CAS
// that won, each word tagged with the generation it belongs to (tag.h), so that a winner's death
// shows and the next process writes it in his place.
struct breaker_cell {
    alignas(64) _Atomic uint64_t state; // state.h
    _Atomic uint64_t lease;             // tag: half-open generation, value: ms when probes are lost
    _Atomic uint64_t opens;             // tag: generation last counted, value: how often it opened
    uint64_t reserved[5];
    alignas(64) _Atomic uint64_t history[BREAKER_HISTORY]; // tag: generation, value: from, to, ms
    alignas(64) _Atomic uint64_t streak;       // tag: generation, value: failures in a row
    _Atomic uint64_t text_tag;                 // tag: generation begun by a command, value: 1
    _Atomic uint64_t text[BREAKER_TEXT_WORDS]; // who and why
    struct breaker_cell_evidence evidence[BREAKER_HISTORY];
};

// One published set, by index. A plain array of words: copied by relaxed word, checked by sequence.
struct breaker_table {
    uint64_t n;
    struct breaker_definition items[BREAKER_MAX];
};
#define BREAKER_TABLE_WORDS (sizeof(struct breaker_table) / sizeof(uint64_t))
struct breaker_table_words {
    _Atomic uint64_t words[BREAKER_TABLE_WORDS];
};

struct breaker_state_section {
    alignas(64) _Atomic uint64_t current; // definition.h: generation, slot and buffer in force
    _Atomic uint64_t slots_seen;          // lines of slots from here on were never used
    struct breaker_cell cells[BREAKER_MAX];
    // Each process fills its own two in turn, so that no one ever writes what is in force.
    struct breaker_table_words tables[SLOT_COUNT][2];
};

struct breaker_line {
    alignas(64) _Atomic uint64_t share; // permit.h
    _Atomic uint64_t probes;            // permit.h
    _Atomic uint64_t window_tag;        // rolling.h: generation and shape of the buckets
    _Atomic uint64_t outcomes[BREAKER_KINDS];
    _Atomic uint64_t ignored, probe_grants;
    _Atomic uint64_t refused[BREAKER_REFUSALS];                   // by enum breaker_grant
    _Atomic uint64_t buckets[BREAKER_BUCKETS_MAX][BREAKER_KINDS]; // {epoch, count}
    uint64_t reserved[3];
};
struct breaker_window_section {
    struct breaker_line lines[SLOT_COUNT][BREAKER_MAX];
};

_Static_assert(sizeof(struct breaker_definition) == 136, "layout of a definition");
_Static_assert(sizeof(struct breaker_cell) == 576, "a cell is nine cache lines");
_Static_assert(sizeof(struct breaker_line) == 2048, "a line is 32 cache lines");
_Static_assert(sizeof(struct breaker_table_words) == sizeof(struct breaker_table), "same bytes");

#endif
