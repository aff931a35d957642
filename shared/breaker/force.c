// States by a person's word. Like every transition one CAS, and its notes behind it.
#include <errno.h>

#include "base/assert.h"
#include "breaker/state.h"
#include "breaker/view.h"

static int make(struct breaker_view *view, uint32_t index, enum breaker_state state,
                uint64_t until_ns, const struct cell_evidence *evidence, uint64_t now_ns)
{
    ASSERT(view->slot != NULL);
    view_refresh_if_new(view);
    if (index >= view->table.n || view->table.items[index].retired)
        return -ENOENT;
    for (;;) {
        uint64_t word = atomic_load(&view->state->cells[index].state);
        uint64_t next =
            breaker_is_forced(state) ? state_force(word, state, until_ns) : state_reset(word);
        if (transition_make(view, index, word, next, evidence, now_ns))
            return 0;
    }
}

int breaker_force(struct breaker_view *view, uint32_t index, enum breaker_state state,
                  uint64_t until_ns, const char *author, const char *reason, uint64_t now_ns)
{
    if (!breaker_is_forced(state) || state >= BREAKER_STATES ||
        (until_ns != 0 && (until_ns <= now_ns || until_ns - now_ns > BREAKER_FORCE_MAX_NS)))
        return -EINVAL;
    struct cell_evidence evidence = {.rule = BREAKER_RULE_COMMAND,
                                     .author = author,
                                     .reason = reason,
                                     .for_ns = until_ns != 0 ? until_ns - now_ns : 0};
    return make(view, index, state, until_ns, &evidence, now_ns);
}

int breaker_reset(struct breaker_view *view, uint32_t index, const char *author, const char *reason,
                  uint64_t now_ns)
{
    struct cell_evidence evidence = {
        .rule = BREAKER_RULE_COMMAND, .author = author, .reason = reason};
    return make(view, index, BREAKER_CLOSED, 0, &evidence, now_ns);
}
