#include "watch.h"

void watch_poll(struct watch *watch, struct breaker_view *view, watch_fn *each, void *arg)
{
    const struct breaker_definition *definition;
    for (uint32_t index = 0; (definition = breaker_definition_at(view, index)) != NULL; index++) {
        struct breaker_transition list[BREAKER_HISTORY];
        size_t n = breaker_transitions(view, index, watch->seen[index], list);
        for (size_t i = 0; i < n; i++)
            each(arg, index, definition, &list[i]);
        if (n > 0)
            watch->seen[index] = list[n - 1].generation;
        if (!breaker_would_open(view, index, &list[0]))
            watch->would[index] = UINT32_MAX;
        else if (watch->would[index] != list[0].generation) {
            watch->would[index] = list[0].generation;
            each(arg, index, definition, &list[0]);
        }
    }
}

static void ignore(void *arg, uint32_t index, const struct breaker_definition *definition,
                   const struct breaker_transition *transition)
{
    (void)arg;
    (void)index;
    (void)definition;
    (void)transition;
}

void watch_init(struct watch *watch, struct breaker_view *view)
{
    *watch = (struct watch){0};
    watch_poll(watch, view, ignore, NULL);
}
