#include "limit/lease.h"

#include <errno.h>

#define TOKEN_BITS 24
#define TOKEN_MASK LEASE_TOKENS_MAX

_Static_assert(TOKEN_MASK >> TOKEN_BITS == 0 && (TOKEN_MASK + 1) >> TOKEN_BITS == 1,
               "tokens are the low bits");

struct segment_section_spec lease_section_spec(uint64_t cells)
{
    const size_t layout[] = {sizeof(struct lease_set), sizeof(struct lease_cell),
                             offsetof(struct lease_cell, refused_until_ns),
                             offsetof(struct lease_cell, lease_id), TOKEN_BITS};
    uint64_t sets = (cells + LEASE_WAYS - 1) / LEASE_WAYS;
    return (struct segment_section_spec){
        .name = LEASE_SECTION,
        .bytes = sizeof(struct lease_table) + sets * sizeof(struct lease_set),
        .layout_hash = segment_layout_hash(layout, sizeof(layout) / sizeof(layout[0])),
        .parameter = "LEASE_CELLS"};
}

struct lease_view lease_view_over(void *section, uint64_t bytes)
{
    uint64_t sets = section && bytes > sizeof(struct lease_table)
                        ? (bytes - sizeof(struct lease_table)) / sizeof(struct lease_set)
                        : 0;
    return (struct lease_view){.table = section,
                               .n_sets = (uint32_t)(sets < UINT32_MAX ? sets : UINT32_MAX)};
}

static struct lease_set *set_of(const struct lease_view *view, uint64_t print)
{
    return &view->table->sets[(print >> 32) * view->n_sets >> 32];
}

struct lease_cell *lease_find(const struct lease_view *view, uint64_t print)
{
    if (view->n_sets == 0) {
        return NULL;
    }
    struct lease_set *set = set_of(view, print);
    for (uint32_t way = 0; way < LEASE_WAYS; way++) {
        if (atomic_load(&set->prints[way]) == print) {
            return &set->cells[way];
        }
    }
    return NULL;
}

static _Atomic uint64_t *print_of(const struct lease_view *view, const struct lease_cell *cell,
                                  uint64_t print)
{
    struct lease_set *set = set_of(view, print);
    return &set->prints[cell - set->cells];
}

uint64_t lease_tokens(const struct lease_cell *cell, uint64_t now_ns)
{
    uint64_t tokens = 0;
    for (uint32_t slot = 0; slot < LEASE_SLOTS; slot++) {
        if (atomic_load(&cell->leases[slot].end_ns) > now_ns) {
            tokens += atomic_load(&cell->leases[slot].word) & TOKEN_MASK;
        }
    }
    return tokens;
}

// The slot whose lease ends first among those with enough; LEASE_SLOTS: none.
static uint32_t choose(struct lease_cell *cell, uint64_t cost, uint64_t now_ns, uint64_t *ret_word,
                       uint64_t *ret_end_ns)
{
    uint32_t best = LEASE_SLOTS;
    for (uint32_t slot = 0; slot < LEASE_SLOTS; slot++) {
        // The word first: an end that is read after it belongs to it while the word stands.
        uint64_t word = atomic_load(&cell->leases[slot].word);
        uint64_t end_ns = atomic_load(&cell->leases[slot].end_ns);
        if ((word & TOKEN_MASK) >= cost && end_ns > now_ns &&
            (best == LEASE_SLOTS || end_ns < *ret_end_ns)) {
            best = slot;
            *ret_word = word;
            *ret_end_ns = end_ns;
        }
    }
    return best;
}

bool lease_has(struct lease_cell *cell, uint64_t cost, uint64_t now_ns)
{
    uint64_t word, end_ns;
    return choose(cell, cost, now_ns, &word, &end_ns) < LEASE_SLOTS;
}

int lease_take(const struct lease_view *view, struct lease_cell *cell, uint64_t print,
               uint64_t cost, uint64_t now_ns, struct lease_taken *ret_taken)
{
    uint64_t word = 0, end_ns = 0;
    uint32_t slot;
    do {
        slot = choose(cell, cost, now_ns, &word, &end_ns);
        // The key after the word, so that the word that is swapped is a word of this key.
        if (slot == LEASE_SLOTS || atomic_load(print_of(view, cell, print)) != print) {
            return -EDQUOT;
        }
    } while (!atomic_compare_exchange_weak(&cell->leases[slot].word, &word, word - cost));
    *ret_taken = (struct lease_taken){.tag = word >> TOKEN_BITS, .end_ns = end_ns, .slot = slot};
    return 0;
}

bool lease_put_back(struct lease_cell *cell, const struct lease_taken *taken, uint64_t cost)
{
    struct lease *lease = &cell->leases[taken->slot % LEASE_SLOTS];
    uint64_t word = atomic_load(&lease->word);
    do {
        if (word >> TOKEN_BITS != taken->tag || (word & TOKEN_MASK) + cost > TOKEN_MASK) {
            return false;
        }
    } while (!atomic_compare_exchange_weak(&lease->word, &word, word + cost));
    return true;
}

bool lease_should_ask(struct lease_cell *cell, uint64_t now_ns, uint64_t until_ns)
{
    uint32_t low = atomic_load_explicit(&cell->low, memory_order_relaxed);
    if (low == 0 || lease_tokens(cell, now_ns) > low ||
        atomic_load(&cell->refused_until_ns) > now_ns) {
        return false;
    }
    uint64_t asked = atomic_load(&cell->asked_until_ns);
    return asked <= now_ns &&
           atomic_compare_exchange_strong(&cell->asked_until_ns, &asked, until_ns);
}

// ---- the owner's

static void put_word(const struct lease_view *view, struct lease *lease, uint64_t tokens)
{
    uint64_t tag = atomic_fetch_add(&view->table->last_tag, 1) + 1;
    atomic_store(&lease->word, tag << TOKEN_BITS | tokens);
}

// Makes an empty word void for whoever still means to put back into it. False: somebody just did.
static bool retire(const struct lease_view *view, struct lease *lease)
{
    uint64_t word = atomic_load(&lease->word);
    uint64_t tag = atomic_fetch_add(&view->table->last_tag, 1) + 1;
    return (word & TOKEN_MASK) == 0 &&
           atomic_compare_exchange_strong(&lease->word, &word, tag << TOKEN_BITS);
}

static bool is_idle(const struct lease_cell *cell, uint64_t now_ns)
{
    for (uint32_t slot = 0; slot < LEASE_SLOTS; slot++) {
        if ((atomic_load(&cell->leases[slot].word) & TOKEN_MASK) > 0) {
            return false; // live, or not collected yet
        }
    }
    return atomic_load(&cell->refused_until_ns) <= now_ns;
}

struct lease_cell *lease_claim(const struct lease_view *view, uint64_t print, uint64_t now_ns)
{
    struct lease_cell *cell = lease_find(view, print);
    if (cell || view->n_sets == 0) {
        return cell;
    }
    struct lease_set *set = set_of(view, print);
    uint32_t chosen = LEASE_WAYS;
    for (uint32_t way = 0; way < LEASE_WAYS && chosen == LEASE_WAYS; way++) {
        chosen = atomic_load(&set->prints[way]) == 0 ? way : chosen;
    }
    // Else the one whose key was granted something the longest ago.
    for (uint32_t way = 0, full = chosen == LEASE_WAYS; full && way < LEASE_WAYS; way++) {
        if (is_idle(&set->cells[way], now_ns) &&
            (chosen == LEASE_WAYS || set->cells[way].granted_ns < set->cells[chosen].granted_ns)) {
            chosen = way;
        }
    }
    if (chosen == LEASE_WAYS) {
        return NULL;
    }
    cell = &set->cells[chosen];
    for (uint32_t slot = 0; slot < LEASE_SLOTS; slot++) {
        if (!retire(view, &cell->leases[slot])) {
            return NULL;
        }
        cell->lease_id[slot] = 0;
    }
    atomic_store(&set->prints[chosen], 0);
    atomic_store(&cell->refused_until_ns, 0);
    atomic_store(&cell->fits_at_ns, 0);
    atomic_store(&cell->asked_until_ns, 0);
    atomic_store(&cell->low, 0);
    atomic_store(&cell->left, 0);
    cell->granted_ns = cell->granted = 0;
    atomic_store(&set->prints[chosen], print);
    return cell;
}

void lease_fill(const struct lease_view *view, struct lease_cell *cell, uint32_t slot,
                uint64_t tokens, uint64_t end_ns)
{
    struct lease *lease = &cell->leases[slot];
    put_word(view, lease, 0); // nobody may take by the old end
    atomic_store(&lease->end_ns, end_ns);
    put_word(view, lease, tokens < LEASE_TOKENS_MAX ? tokens : LEASE_TOKENS_MAX);
}

uint64_t lease_collect(const struct lease_view *view, struct lease_cell *cell, uint32_t slot)
{
    uint64_t tag = atomic_fetch_add(&view->table->last_tag, 1) + 1;
    return atomic_exchange(&cell->leases[slot].word, tag << TOKEN_BITS) & TOKEN_MASK;
}
