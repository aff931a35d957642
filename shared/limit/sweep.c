// The owner's chores on the table. Correctness needs neither of them.
#include "limit/limit.h"
#include "limit/view.h"

#define SAMPLE_MAX 131072 // exact for a table of the default size

static uint64_t live_from_now(struct meter *meter, uint64_t now_ns)
{
    struct meter at = *meter;
    meter_set_clock(&at, now_ns);
    return meter_live_from(&at);
}

uint32_t limit_sweep(struct limit_view *view, uint32_t budget)
{
    limit_refresh(view);
    uint32_t freed = 0;
    uint64_t now_ns = view_now_ns(view); // before any cell is looked at
    while (budget > 0 && view->book.n > 0) {
        struct meter *meter = &view->meters[view->sweep_policy];
        uint32_t n = table_n_cells(&meter->range);
        uint64_t live_from = live_from_now(meter, now_ns);
        for (; budget > 0 && view->sweep_cell < n; budget--) {
            uint32_t set = view->sweep_cell / TABLE_WAYS, way = view->sweep_cell++ % TABLE_WAYS;
            freed += table_free_dead(table_set_at(&meter->range, set), meter->range.stride, way,
                                     live_from);
        }
        if (view->sweep_cell < n) {
            break;
        }
        view->sweep_cell = 0;
        if (++view->sweep_policy == view->book.n) {
            view->sweep_policy = 0;
            break; // once around is enough
        }
    }
    return freed;
}

void limit_fill(const struct limit_view *view, struct limit_fill *ret_fill)
{
    *ret_fill = (struct limit_fill){0};
    uint64_t now_ns = view_now_ns(view);
    for (uint32_t i = 0; i < view->book.n; i++) {
        struct meter meter = view->meters[i];
        uint64_t live_from = live_from_now(&meter, now_ns);
        uint32_t n = table_n_cells(&meter.range);
        uint32_t step = (n + SAMPLE_MAX - 1) / SAMPLE_MAX, seen = 0, live = 0;
        for (uint32_t cell = 0; cell < n; cell += step, seen++) {
            live += atomic_load(&table_cell(&meter.range, cell)->last) >= live_from;
        }
        ret_fill->cells += n;
        if (seen > 0)
            ret_fill->live += (uint64_t)live * n / seen;
    }
}
