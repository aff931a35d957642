#include "limit/view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "limit/key.h"

struct segment_section_spec limit_table_section_spec(uint64_t cells)
{
    const size_t layout[] = {sizeof(struct cell),
                             offsetof(struct cell, counts),
                             sizeof(struct table_set),
                             TABLE_WAYS,
                             OWNER_PRINT_SHIFT,
                             KEY_HASH_C,
                             KEY_HASH_D};
    return (struct segment_section_spec){
        .name = LIMIT_TABLE_SECTION,
        .bytes = cells * sizeof(struct cell),
        .layout_hash = segment_layout_hash(layout, sizeof(layout) / sizeof(layout[0])),
        .parameter = "LIMIT_TABLE_CELLS"};
}

struct segment_section_spec limit_policy_section_spec(void)
{
    return (struct segment_section_spec){.name = LIMIT_POLICY_SECTION,
                                         .bytes = policy_store_bytes(),
                                         .layout_hash = policy_store_layout_hash()};
}

static int take_over(struct limit_view *view)
{
    int r = policy_store_read(view->store, view->n_cells, &view->scratch);
    if (r < 0) {
        return r;
    }
    view->book = view->scratch;
    view->generation = view->book.generation;
    matcher_init(&view->matcher, view->book.policies, view->book.n);
    struct meter_holder holder = {
        .slot = view->actor.slot, .generation = view->actor.generation, .era = &view->hold_era};
    for (uint32_t i = 0; i < view->book.n; i++) {
        meter_init(&view->meters[i], &view->book.policies[i], view->cells, &holder);
    }
    view->looks_at_regions = false;
    for (uint32_t i = 0; i < view->book.n; i++) {
        view->looks_at_regions |= view->book.policies[i].regions != 0;
    }
    view->has_overrides = 0;
    for (uint32_t i = 0; i < view->book.n_overrides; i++) {
        view->has_overrides |= UINT64_C(1) << view->book.overrides[i].policy;
    }
    view->sweep_policy = view->sweep_cell = 0;
    if (!view->read_only) {
        policy_store_acknowledge(view->store, &view->actor, view->generation);
    }
    return 0;
}

void limit_refresh(struct limit_view *view)
{
    uint64_t generation = policy_store_generation(view->store);
    if (__builtin_expect(generation != view->generation, 0) && take_over(view) < 0) {
        view->generation = generation; // damaged: go on with the policies we have
    }
}

void view_take_back(const struct limit_view *view, const struct meter *meter,
                    struct cell_head *cell, uint64_t cost, const struct meter_charge *charge)
{
    uint64_t seen;
    do {
        seen = atomic_load(&cell->last);
    } while (!meter_take_back(meter, cell, cost, charge, seen, view_now_ns(view)));
}

bool view_holder_is_dead(void *arg, uint32_t slot, uint32_t generation)
{
    struct limit_view *view = arg;
    uint64_t now_ns = view_now_ns(view);
    if (slot >= SLOT_COUNT ||
        (view->holder_seen_ns[slot] != 0 && now_ns - view->holder_seen_ns[slot] < HOLD_CHECK_NS)) {
        return false;
    }
    if (policy_store_has_left(view->store, &view->actor, slot, generation)) {
        return true; // and others of its holds with it
    }
    view->holder_seen_ns[slot] = now_ns;
    return false;
}

int view_init(struct limit_view *view, struct cell *cells, uint64_t n_cells,
              struct policy_store *store, const struct policy_actor *actor,
              const uint8_t hash_key[SEGMENT_KEY_BYTES])
{
    view->cells = cells;
    view->n_cells = n_cells;
    view->store = store;
    view->read_only = actor == NULL;
    view->has_ticks = recent_clock_is_sound();
    memcpy(view->hash_key, hash_key, SEGMENT_KEY_BYTES);
    if (actor) {
        view->actor = *actor;
        policy_store_acknowledge(store, actor, 0); // holds everything back until we have a copy
    }
    return take_over(view);
}

static bool slot_holder_is_alive(void *segment, uint32_t slot, uint32_t generation)
{
    return slot_is_alive(segment, slot, generation);
}

int limit_attach(struct segment *segment, struct slot *slot, struct limit_view **ret_view)
{
    uint64_t table_bytes, policy_bytes;
    struct cell *cells = segment_section(segment, LIMIT_TABLE_SECTION, &table_bytes);
    struct policy_store *store = segment_section(segment, LIMIT_POLICY_SECTION, &policy_bytes);
    if (!cells || !store || policy_bytes < policy_store_bytes()) {
        return -ENOENT;
    }
    struct limit_view *view = aligned_alloc(64, (sizeof(*view) + 63) / 64 * 64);
    if (!view) {
        return -ENOMEM;
    }
    memset(view, 0, sizeof(*view));
    struct policy_actor actor = {.is_alive = slot_holder_is_alive, .arg = segment};
    if (slot) {
        actor.slot = slot_index(slot);
        actor.generation = slot_generation(slot);
    }
    int r = view_init(view, cells, table_bytes / sizeof(struct cell), store, slot ? &actor : NULL,
                      segment_hash_key(segment));
    if (r < 0) {
        limit_detach(&view);
        return r;
    }
    uint64_t lease_bytes = 0;
    void *leases = segment_section(segment, LEASE_SECTION, &lease_bytes);
    view->leases = lease_view_over(leases, lease_bytes);
    *ret_view = view;
    return 0;
}

void limit_detach(struct limit_view **view)
{
    if (!view || !*view) {
        return;
    }
    if (!(*view)->read_only) {
        policy_store_leave((*view)->store, &(*view)->actor);
    }
    free(*view);
    *view = NULL;
}

int limit_publish(struct limit_view *view, const struct limit_policy_set *set,
                  enum limit_publish_rule rule)
{
    if (view->read_only) {
        return -EROFS;
    }
    limit_refresh(view); // so that we do not hold our own ranges back
    int r = policy_store_publish(view->store, &view->actor, view->cells, view->n_cells,
                                 view->hash_key, set, rule);
    if (r == 0) {
        limit_refresh(view);
    }
    return r;
}

const char *limit_tier_name(const struct limit_view *view, uint32_t tier)
{
    return tier < view->book.n_tiers ? view->book.tiers[tier] : NULL;
}

static const struct policy_override *find_override(const struct limit_view *view, uint32_t policy,
                                                   uint64_t hash)
{
    const struct policy_override *overrides = view->book.overrides;
    uint32_t low = 0, high = view->book.n_overrides;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (policy_override_compare(&overrides[middle], policy, hash) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool found =
        low < view->book.n_overrides && policy_override_compare(&overrides[low], policy, hash) == 0;
    return found ? &overrides[low] : NULL;
}

bool view_override(const struct limit_view *view, uint32_t policy, uint64_t hash, uint64_t *limit)
{
    const struct policy_override *own = find_override(view, policy, hash);
    if (own) {
        bool has_ended = own->until_ns != 0 && own->until_ns <= view_now_ns(view);
        *limit = has_ended ? own->limit_after : own->limit;
    }
    return *limit != UINT64_MAX;
}

// What was counted before may still fill the limit that comes then.
uint64_t view_never_fits_ns(const struct limit_view *view, uint32_t policy, uint64_t hash,
                            uint64_t cost, struct cell_head *cell, uint64_t now_ns)
{
    const struct policy_override *own = find_override(view, policy, hash);
    if (!own || own->until_ns <= now_ns) {
        return LIMIT_NEVER;
    }
    uint64_t end_ns = own->until_ns;
    if (own->limit_after == UINT64_MAX) {
        return end_ns - now_ns;
    }
    struct meter after = view->meters[policy];
    struct cell_reading reading;
    meter_set_limit(&after, own->limit_after);
    meter_set_clock(&after, now_ns);
    if (cost > after.most) {
        return LIMIT_NEVER;
    }
    if (cell && meter_look(&after, cell, &reading) == 0 && reading.used + cost > after.most) {
        uint64_t freed_ns = meter_freed_ns(&after, &reading, reading.used + cost - after.most);
        end_ns = freed_ns > end_ns ? freed_ns : end_ns;
    }
    return end_ns - now_ns;
}

bool limit_looks_at_regions(const struct limit_view *view)
{
    return view->looks_at_regions;
}

uint64_t limit_generation(const struct limit_view *view)
{
    return view->generation;
}

const struct limit_policy *limit_policy_at(const struct limit_view *view, uint32_t index)
{
    return index < view->book.n ? &view->book.policies[index] : NULL;
}
