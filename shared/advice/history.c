#include "advice/history.h"

#include <string.h>

#include "base/clock.h"

void advice_window_init(struct advice_window *window, uint32_t period_s)
{
    uint64_t slot_s = (period_s + ADVICE_SLOTS - 2) / (ADVICE_SLOTS - 1);

    *window = (struct advice_window){.period_ns = period_s * NS_PER_S,
                                     .slot_ns = (slot_s > 0 ? slot_s : 1) * NS_PER_S};
}

// Empties the slots between the newest and a later one.
static void window_advance(struct advice_window *window, uint64_t slot)
{
    uint64_t first = window->newest + 1;

    if (slot - window->newest >= ADVICE_SLOTS)
        first = slot - ADVICE_SLOTS + 1;
    for (uint64_t i = first; i <= slot; i++) {
        window->sum[i % ADVICE_SLOTS] = 0;
        window->seconds[i % ADVICE_SLOTS] = 0;
    }
    window->newest = slot;
}

void advice_window_add(struct advice_window *window, uint64_t time_ns, double value, double seconds)
{
    if (window->slot_ns == 0)
        return;
    uint64_t slot = time_ns / window->slot_ns;

    if (slot > window->newest)
        window_advance(window, slot);
    else if (window->newest - slot >= ADVICE_SLOTS)
        return;
    window->sum[slot % ADVICE_SLOTS] += value * seconds;
    window->seconds[slot % ADVICE_SLOTS] += seconds;
}

struct advice_average advice_window_read_since(const struct advice_window *window, uint64_t now_ns,
                                               uint64_t since_ns)
{
    struct advice_average average = {0};
    double sum = 0, seconds = 0, period_s = (double)window->period_ns / NS_PER_S;

    if (window->slot_ns == 0)
        return average;
    uint64_t oldest = window->newest >= ADVICE_SLOTS - 1 ? window->newest - (ADVICE_SLOTS - 1) : 0;

    for (uint64_t slot = window->newest + 1; slot-- > oldest;) {
        if ((slot + 1) * window->slot_ns + window->period_ns <= now_ns ||
            (since_ns != 0 && slot * window->slot_ns <= since_ns))
            break;
        sum += window->sum[slot % ADVICE_SLOTS];
        seconds += window->seconds[slot % ADVICE_SLOTS];
    }
    average.covered_s = seconds < period_s ? seconds : period_s;
    average.known = seconds > 0 && seconds >= period_s * ADVICE_COVERAGE;
    average.value = seconds > 0 ? sum / seconds : 0;
    return average;
}

struct advice_average advice_window_read(const struct advice_window *window, uint64_t now_ns)
{
    return advice_window_read_since(window, now_ns, 0);
}

void advice_runs_add(struct advice_state *state, uint64_t now_ns, uint32_t recommendation)
{
    struct advice_run *last = state->n_runs > 0 ? &state->runs[state->n_runs - 1] : NULL;

    if (last && last->low == recommendation && last->high == recommendation) {
        last->last_ns = now_ns;
        return;
    }
    if (state->n_runs == ADVICE_RUNS) {
        struct advice_run *oldest = &state->runs[0], *next = &state->runs[1];

        next->first_ns = oldest->first_ns;
        next->low = oldest->low < next->low ? oldest->low : next->low;
        next->high = oldest->high > next->high ? oldest->high : next->high;
        memmove(oldest, next, sizeof(*oldest) * (ADVICE_RUNS - 1));
        state->n_runs--;
    }
    state->runs[state->n_runs++] =
        (struct advice_run){now_ns, now_ns, recommendation, recommendation};
}

void advice_events_add(struct advice_event *events, uint32_t *n, uint32_t cap, uint64_t now_ns,
                       uint32_t from, uint32_t to)
{
    if (from == to)
        return;
    if (*n == cap) {
        events[1].added += events[0].added;
        events[1].removed += events[0].removed;
        memmove(&events[0], &events[1], sizeof(*events) * (cap - 1));
        --*n;
    }
    events[(*n)++] = (struct advice_event){.time_ns = now_ns,
                                           .added = to > from ? to - from : 0,
                                           .removed = from > to ? from - to : 0};
}

struct advice_event advice_events_sum(const struct advice_event *events, uint32_t n,
                                      uint64_t now_ns, uint32_t period_s)
{
    struct advice_event sum = {.time_ns = now_ns};

    for (uint32_t i = n; i-- > 0;) {
        if (now_ns - events[i].time_ns >= period_s * NS_PER_S)
            break;
        sum.added += events[i].added;
        sum.removed += events[i].removed;
    }
    return sum;
}
