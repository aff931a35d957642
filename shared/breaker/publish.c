// The definitions in force: one word names generation, slot and buffer. Each process fills one of
// its own two buffers, never the one in force, and swaps the word: a death at any instruction
// leaves the old set or the new one.
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "breaker/definition.h"
#include "breaker/view.h"

#define COPY_TRIES 100

static uint64_t current_pack(uint64_t generation, uint32_t slot, uint32_t buffer)
{
    return generation << 16 | (uint64_t)slot << 8 | buffer;
}

static struct breaker_table_words *words_of(struct breaker_view *view, uint64_t current)
{
    return &view->state->tables[current >> 8 & (SLOT_COUNT - 1)][current & 1];
}

// The acquire loads keep the check of `current` behind the copy; who overwrites the buffer has
// swapped `current` before.
static int copy_current(struct breaker_view *view, uint64_t *ret_current,
                        struct breaker_table *ret_table)
{
    for (int i = 0; i < COPY_TRIES; i++) {
        uint64_t current = atomic_load(&view->state->current);
        uint64_t copy[BREAKER_TABLE_WORDS] = {0};
        if (current != 0) {
            struct breaker_table_words *from = words_of(view, current);
            for (size_t w = 0; w < BREAKER_TABLE_WORDS; w++)
                copy[w] = atomic_load_explicit(&from->words[w], memory_order_acquire);
        }
        if (atomic_load(&view->state->current) != current)
            continue;
        memcpy(ret_table, copy, sizeof(*ret_table));
        *ret_current = current;
        return 0;
    }
    return -EAGAIN;
}

void view_refresh(struct breaker_view *view)
{
    if (copy_current(view, &view->current, &view->table) < 0)
        return;
    definition_clamp(&view->table);
    for (uint32_t i = 0; i < BREAKER_MAX; i++) {
        view->shapes[i] = rolling_shape_of(&view->table.items[i]);
        struct permit_pool pool = view_pool(view, i);
        if (view->slot != NULL) // the capacity may be less now
            permit_trim(&pool);
    }
}

int breaker_publish(struct breaker_view *view, const struct breaker_definition_set *set,
                    enum breaker_publish_rule rule)
{
    ASSERT(view->slot != NULL);
    for (int i = 0; i < COPY_TRIES; i++) {
        struct breaker_table old, table;
        uint64_t current;
        bool is_changed;
        int rc = copy_current(view, &current, &old);
        if (rc == 0) {
            definition_clamp(&old);
            rc = definition_merge(&old, set, rule, &table, &is_changed);
        }
        if (rc < 0 || (!is_changed && current != 0))
            return rc;
        bool is_own = (current >> 8 & 0xff) == view->slot_index;
        uint64_t next = current_pack((current >> 16) + 1, view->slot_index,
                                     is_own && current != 0 ? !(current & 1) : 0);
        struct breaker_table_words *to = words_of(view, next);
        uint64_t copy[BREAKER_TABLE_WORDS];
        memcpy(copy, &table, sizeof(copy));
        for (size_t w = 0; w < BREAKER_TABLE_WORDS; w++)
            atomic_store_explicit(&to->words[w], copy[w], memory_order_release);
        if (atomic_compare_exchange_strong(&view->state->current, &current, next)) {
            view_refresh(view);
            return 0;
        }
    }
    return -EAGAIN;
}

uint64_t breaker_generation(const struct breaker_view *view)
{
    return atomic_load(&view->state->current) >> 16;
}

int breaker_find(struct breaker_view *view, const char *name)
{
    view_refresh_if_new(view);
    return definition_find(&view->table, name);
}

const struct breaker_definition *breaker_definition_at(struct breaker_view *view, uint32_t index)
{
    view_refresh_if_new(view);
    return index < view->table.n ? &view->table.items[index] : NULL;
}
