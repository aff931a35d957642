// What the suite was like: each series of history.def for an hour at 1 s and a day at 1 min, in the
// segment's section "history". The metrics-agent writes, any process reads.
//
// Memory is bounded by construction: HISTORY_PLACES values of 4 bytes and a time stamp make a row
// of 392 bytes; 3600 + 1440 rows and the names are 1.9 MiB, whatever runs. A series with a key
// (breaker_state:database) gets one of the places that are left; one that nobody wrote for a day
// gives its place away; when there is none, the newcomer is not kept (-ENOSPC, the writer says so).
//
// A row belongs to one second (or minute) of Unix time: what happened from then to the next one. It
// carries its time, is written between "no time" and that time, and is looked for at its one place
// of the ring: a death of the writer leaves a row that is not there, and what was not written is a
// gap (NaN), never a 0. A minute is made of the seconds in the ring, also by the writer's
// successor. A wall clock set back overwrites the times that come again.
//
// Thread: one writer; readers anywhere. All-zero memory is an empty history. No clock is read here.
#ifndef VALVECHAIN_HISTORY_HISTORY_H
#define VALVECHAIN_HISTORY_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/segment.h"

#define HISTORY_SECTION_NAME "history"
#define HISTORY_PLACES       96
#define HISTORY_SECONDS      3600
#define HISTORY_MINUTES      1440
#define HISTORY_NAME_MAX     48 // with the key and the end

enum history_rollup {
    HISTORY_MEAN,
    HISTORY_MEAN_OF_REQUESTS, // weighted by the requests of each second
    HISTORY_MAX,
    HISTORY_LAST
};

// The series without a key, each at the place of its number.
enum {
#define HISTORY(field, name, unit, rollup, help) HISTORY_PLACE_##field,
#define HISTORY_OF(field, name, unit, rollup, help)
#include "history/history.def"
#undef HISTORY
#undef HISTORY_OF
    HISTORY_FIXED
};

struct history_series {
    const char *name, *unit, *help;
    enum history_rollup rollup;
    bool has_key;
};
// The rows of history.def in their order; those without a key first. NULL past the end.
const struct history_series *history_series_at(size_t index);

struct history; // the section

struct segment_section_spec history_section_spec(void);
size_t history_bytes(void); // for memory of one's own
// NULL: the segment has none.
struct history *history_of(const struct segment *segment);

// ---- writing ------------------------------------------------------------------------------------

// Where the values of `name`:`key` go, giving it a place when it has none. `now_s`: Unix seconds.
// -ENOSPC: all places are taken by series of the last day. -EINVAL: no such series, or the key is
// empty, too long or not of [A-Za-z0-9._-].
int history_take_place(struct history *history, const char *name, const char *key, uint64_t now_s,
                       uint32_t *ret_place);
// Row of one second; makes the rows of minutes that are complete by then. NaN: not known.
void history_write(struct history *history, uint64_t second_s, const float values[HISTORY_PLACES]);
// Is all that lies there of the form that this module writes? If not it is emptied.
bool history_mend(struct history *history);

// ---- reading ------------------------------------------------------------------------------------

// Series and name at a place; NULL: nothing there. `ret_name` may be NULL.
const struct history_series *history_at(const struct history *history, uint32_t place,
                                        char ret_name[HISTORY_NAME_MAX]);
// The value of the step that begins at `from_s` and is `step_s` long, from minutes where there are
// whole ones and the step is whole minutes, else from seconds. NaN: nothing is known of it.
float history_value(const struct history *history, uint32_t place, uint64_t from_s,
                    uint32_t step_s);

#endif
