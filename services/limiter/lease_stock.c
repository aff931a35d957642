// The leases that lie in the segment, and the way back of what is left of them.
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "lease_desk_internal.h"
#include "lease_size.h"

// ---- returns ---------------------------------------------------------------------------------

static void keep_return(struct lease_desk *desk, const struct desk_return *item)
{
    if (desk->n_kept == DESK_RETURNS_MAX) {
        desk->counts.forgotten += desk->kept[desk->kept_first].tokens;
        desk->kept_first = (desk->kept_first + 1) % DESK_RETURNS_MAX;
        desk->n_kept--;
    }
    desk->kept[(desk->kept_first + desk->n_kept++) % DESK_RETURNS_MAX] = *item;
}

static void returned(void *arg, const struct lease_word_of_store *word)
{
    struct lease_desk *desk = arg;
    (void)word; // lost: it counts until it ages out
    desk->orders_open--;
}

static int send_return(struct lease_desk *desk, const struct desk_return *item)
{
    struct desk_policy policy;
    struct lease_order order;
    if (!desk_policy_of(desk, item->key.identity, &policy)) {
        desk->counts.forgotten += item->tokens == LEASE_ORDER_ALL ? 0 : item->tokens;
        return 0; // nobody counts by it any more
    }
    desk_fill_order(desk, &policy, &item->key, &order);
    order.returns[order.n_returns].lease = item->lease;
    order.returns[order.n_returns++].tokens = item->tokens;
    int r = lease_order_send(desk->options.link, &order, returned, desk);
    if (r == 0) {
        desk->orders_open++;
        desk->counts.orders++;
        desk->counts.tokens_returned += item->tokens == LEASE_ORDER_ALL ? 0 : item->tokens;
    }
    return r;
}

void stock_return(struct lease_desk *desk, const struct lease_key *key, uint64_t lease,
                  uint32_t tokens)
{
    struct desk_return item = {.key = *key, .lease = lease, .tokens = tokens};
    if (tokens > 0 && send_return(desk, &item) < 0) {
        keep_return(desk, &item);
    }
}

void lease_desk_link_up(struct lease_desk *desk)
{
    desk->store_us = 0; // maybe another server, with another clock
    for (; desk->n_kept > 0; desk->n_kept--) {
        if (send_return(desk, &desk->kept[desk->kept_first]) < 0) {
            return;
        }
        desk->kept_first = (desk->kept_first + 1) % DESK_RETURNS_MAX;
    }
}

// ---- cells -----------------------------------------------------------------------------------

static struct lease_key key_of(const struct lease_cell *cell)
{
    return (struct lease_key){.identity = cell->identity, .id = {cell->key_id[0], cell->key_id[1]}};
}

// False: no memory to watch it.
static bool watch(struct lease_desk *desk, struct lease_cell *cell)
{
    for (size_t i = 0; i < desk->n_busy; i++) {
        if (desk->busy[i] == cell) {
            return true;
        }
    }
    if (desk->n_busy == desk->busy_cap) {
        size_t cap = desk->busy_cap ? 2 * desk->busy_cap : 64;
        struct lease_cell **busy = realloc(desk->busy, cap * sizeof(struct lease_cell *));
        if (!busy) {
            return false;
        }
        desk->busy = busy;
        desk->busy_cap = cap;
    }
    desk->busy[desk->n_busy++] = cell;
    return true;
}

static void collect(struct lease_desk *desk, struct lease_cell *cell, uint32_t slot, bool ended)
{
    uint64_t unspent = lease_collect(&desk->options.cells, cell, slot);
    struct lease_key key = key_of(cell);
    if (unspent == 0) {
        return;
    }
    desk->counts.tokens_expired += ended ? unspent : 0;
    stock_return(desk, &key, cell->lease_id[slot], (uint32_t)unspent);
}

static uint64_t tokens_in(const struct lease_cell *cell, uint32_t slot)
{
    return atomic_load(&cell->leases[slot].word) & LEASE_TOKENS_MAX;
}

// The slot with the fewest tokens that can still be spent.
static uint32_t poorest(const struct lease_cell *cell, uint64_t now_ns)
{
    uint32_t best = 0;
    uint64_t fewest = UINT64_MAX;
    for (uint32_t slot = 0; slot < LEASE_SLOTS; slot++) {
        bool live = atomic_load(&cell->leases[slot].end_ns) > now_ns;
        uint64_t tokens = live ? tokens_in(cell, slot) : 0;
        if (tokens < fewest) {
            fewest = tokens;
            best = slot;
        }
    }
    return best;
}

static struct lease_cell *claim(struct lease_desk *desk, const struct lease_key *key,
                                uint64_t now_ns)
{
    if (!desk->options.is_owner) {
        return NULL;
    }
    struct lease_cell *cell =
        lease_claim(&desk->options.cells, lease_print(key->hash, key->identity), now_ns);
    if (cell) {
        cell->identity = key->identity;
        cell->key_id[0] = key->id[0];
        cell->key_id[1] = key->id[1];
    }
    return cell;
}

void stock_put(struct lease_desk *desk, const struct lease_key *key, uint64_t lease,
               uint64_t tokens, uint64_t end_ns)
{
    uint64_t now_ns = clock_mono_ns();
    struct lease_cell *cell = end_ns > now_ns && !desk->closing ? claim(desk, key, now_ns) : NULL;
    if (!cell || !watch(desk, cell)) {
        stock_return(desk, key, lease, (uint32_t)tokens);
        return;
    }
    uint32_t slot = poorest(cell, now_ns);
    collect(desk, cell, slot, false);
    cell->lease_id[slot] = lease;
    lease_fill(&desk->options.cells, cell, slot, tokens, end_ns);
    atomic_store(&cell->low, lease_low_mark(tokens));
}

void stock_note(struct lease_desk *desk, const struct lease_key *key,
                const struct lease_word_of_store *word, uint64_t granted, uint64_t sent_ns,
                uint64_t now_ns)
{
    struct lease_cell *cell = claim(desk, key, now_ns);
    if (!cell) {
        return;
    }
    if (granted > 0) {
        cell->granted_ns = now_ns;
        cell->granted = granted;
    }
    atomic_store(&cell->left, (uint32_t)(word->left < UINT32_MAX ? word->left : UINT32_MAX));
    atomic_store(&cell->fits_at_ns, word->fits_ns ? now_ns + word->fits_ns : 0);
    atomic_store(&cell->refused_until_ns, word->ask_again_ns ? sent_ns + word->ask_again_ns : 0);
    atomic_store(&cell->asked_until_ns, 0);
}

void stock_collect_ended(struct lease_desk *desk, struct lease_cell *cell, uint64_t now_ns,
                         struct lease_order *order)
{
    for (uint32_t slot = 0; slot < LEASE_SLOTS; slot++) {
        if (tokens_in(cell, slot) == 0 || atomic_load(&cell->leases[slot].end_ns) > now_ns) {
            continue;
        }
        uint64_t unspent = lease_collect(&desk->options.cells, cell, slot);
        desk->counts.tokens_expired += unspent;
        desk->counts.tokens_returned += unspent;
        order->returns[order->n_returns].lease = cell->lease_id[slot];
        order->returns[order->n_returns++].tokens = (uint32_t)unspent;
    }
}

void stock_give_back(struct lease_desk *desk, const struct lease_key *key, uint64_t lease,
                     uint32_t tokens)
{
    struct lease_cell *cell =
        desk->options.is_owner
            ? lease_find(&desk->options.cells, lease_print(key->hash, key->identity))
            : NULL;
    for (uint32_t slot = 0; cell && slot < LEASE_SLOTS; slot++) {
        uint64_t word = atomic_load(&cell->leases[slot].word);
        const struct lease_taken taken = {.tag = word / (LEASE_TOKENS_MAX + 1), .slot = slot};
        if (cell->lease_id[slot] == lease &&
            atomic_load(&cell->leases[slot].end_ns) > clock_mono_ns() &&
            lease_put_back(cell, &taken, tokens) && watch(desk, cell)) {
            return;
        }
    }
    stock_return(desk, key, lease, tokens);
}

void stock_forget(struct lease_desk *desk, const struct lease_key *key)
{
    struct lease_cell *cell =
        desk->options.is_owner
            ? lease_find(&desk->options.cells, lease_print(key->hash, key->identity))
            : NULL;
    if (!cell) {
        return;
    }
    for (uint32_t slot = 0; slot < LEASE_SLOTS; slot++) {
        (void)lease_collect(&desk->options.cells, cell, slot);
    }
    atomic_store(&cell->refused_until_ns, 0);
    atomic_store(&cell->fits_at_ns, 0);
    atomic_store(&cell->asked_until_ns, 0);
    atomic_store(&cell->left, 0);
}

void lease_desk_tick(struct lease_desk *desk)
{
    uint64_t now_ns = clock_mono_ns();
    for (size_t i = 0; i < desk->n_busy;) {
        struct lease_cell *cell = desk->busy[i];
        bool live = false;
        for (uint32_t slot = 0; slot < LEASE_SLOTS; slot++) {
            if (desk->closing || atomic_load(&cell->leases[slot].end_ns) <= now_ns) {
                collect(desk, cell, slot, !desk->closing);
            } else {
                live = true; // spent or not: something may still be put back
            }
        }
        if (live) {
            i++;
        } else {
            desk->busy[i] = desk->busy[--desk->n_busy];
        }
    }
}

void lease_desk_adopt(struct lease_desk *desk)
{
    const struct lease_view *cells = &desk->options.cells;
    desk->options.is_owner = true;
    for (uint32_t set = 0; set < cells->n_sets; set++) {
        for (uint32_t way = 0; way < LEASE_WAYS; way++) {
            struct lease_cell *cell = &cells->table->sets[set].cells[way];
            bool used = atomic_load(&cells->table->sets[set].prints[way]) != 0;
            if (used && (tokens_in(cell, 0) > 0 || tokens_in(cell, 1) > 0)) {
                (void)watch(desk, cell); // without memory: the tokens age out
            }
            atomic_store(&cell->asked_until_ns, 0);
        }
    }
}
