#include "limit/table.h"

#include <errno.h>

// Why a charge cannot get lost. A cell is counted in only while its owner word says confirmed, and
// whoever counted reads that word again. Who would take a confirmed cell whose `last` is dead by
// his clock first condemns it by CAS, which changes the word, and then reads `last` again: if it is
// live by now, he withdraws. So a charge whose owner was read before the CAS has moved `last`
// before the taker's second look, and one whose owner was read after it does not stand. If the
// taker nevertheless sees it dead, his clock, and so the present, is past what was charged. A
// condemned cell still is the key's: its next charge makes the word confirmed again, and the
// taker's second CAS fails. A tentative claim is taken at once, for nobody counts there.
//
// Why a confirmed cell is found by its tag. Who changes a tag has first put his own word into the
// cell's owner, then read the word of tags, seen that the owner still is his, and then changed the
// tags by CAS, which counts their changes. A claim's tag is put there in this way even if it stands
// there already, so whoever read the tags before that fails afterwards, and whoever read them later
// sees that the cell is no longer his. So it stays until the owner word has another fingerprint. A
// claim is confirmed only by a probe that found it, that is after its tag.
//
// Why a key is never confirmed in two cells. A claim is first tentative. It is confirmed only after
// a probe of the set that began after its tag was there and met no other cell of the key; a
// tentative one further on in the probe order is abandoned by CAS first, so that it can no longer
// be confirmed, and before one that comes earlier the claim gives way. Of two confirmed cells, the
// later tag's probe would have seen the earlier. Whoever meets a tentative claim of his key
// completes it, so a death in between strands nobody.
//
// Why counts in an overflow cell are not forgotten. Whoever charged there raises `crowded` to the
// cell's `last`, and the charge stands only if after that no cell of the set is the key's,
// tentative ones included. A newcomer's claim is confirmed only if, after its tag was there,
// `crowded` is dead. One of the two sees the other. A returning key had a cell of its own all the
// time, so nothing of it can be there.

#define TAG_BITS     8
#define CHANGE_SHIFT 48

struct probe {
    struct cell_head *confirmed, *tentative;
    uint64_t tentative_owner;
};

static bool is_live(const struct cell_head *cell, uint64_t live_from)
{
    return atomic_load(&cell->last) >= live_from;
}

static bool is_crowded(const struct table_set *set, uint64_t live_from)
{
    return atomic_load(&set->crowded) >= live_from;
}

static uint32_t word_at(const struct table_key *key, uint32_t nth)
{
    uint32_t word = key->home / TABLE_TAGS_A_WORD + nth;
    return word < TABLE_TAG_WORDS ? word : word - TABLE_TAG_WORDS;
}

// Sets a cell's tag for him who has put `owner` into the cell. False: it is no longer his.
static bool put_tag(struct table_set *set, uint32_t way, uint32_t tag, const struct cell_head *cell,
                    uint64_t owner)
{
    _Atomic uint64_t *word = &set->tags[way / TABLE_TAGS_A_WORD];
    uint32_t shift = way % TABLE_TAGS_A_WORD * TAG_BITS;
    for (;;) {
        uint64_t tags = atomic_load(word);
        if (atomic_load(&cell->owner) != owner) {
            return false;
        }
        uint64_t next = (tags & ~(UINT64_C(0xff) << shift)) | (uint64_t)tag << shift;
        if (atomic_compare_exchange_strong(word, &tags, next + (UINT64_C(1) << CHANGE_SHIFT))) {
            return true;
        }
    }
}

static uint32_t way_of(const struct table_key *key, const struct cell_head *cell)
{
    return (uint32_t)(cell - table_way(key->set, key->stride, 0)) / key->stride;
}

// Gives the cell up whose owner word is `owner`. False: that has changed.
static bool abandon(struct table_set *set, uint32_t way, struct cell_head *cell, uint64_t owner)
{
    uint64_t next = owner_next(0, owner, 0);
    if (!atomic_compare_exchange_strong(&cell->owner, &owner, next)) {
        return false;
    }
    (void)put_tag(set, way, 0, cell, next);
    return true;
}

static int probe_word(const struct table_key *key, uint32_t word, struct probe *probe)
{
    uint64_t matches = table_matches(atomic_load(&key->set->tags[word]), key->tag);
    for (; matches != 0 && !probe->confirmed; matches &= matches - 1) {
        uint32_t way = word * TABLE_TAGS_A_WORD + table_first_match(matches);
        struct cell_head *cell = table_way(key->set, key->stride, way);
        uint64_t owner = atomic_load(&cell->owner);
        if (!owner_is(owner, key->print)) {
            continue;
        }
        if (owner & OWNER_CONFIRMED) {
            probe->confirmed = cell;
        } else if (!probe->tentative) {
            probe->tentative = cell;
            probe->tentative_owner = owner;
        } else if (!abandon(key->set, way, cell, owner)) {
            return -EAGAIN;
        }
    }
    return 0;
}

// Looks for the key's cells in probe order. Abandons a second tentative claim. Seq_cst throughout.
static int probe_set(const struct table_key *key, struct probe *ret_probe)
{
    int r = 0;
    *ret_probe = (struct probe){0};
    for (uint32_t i = 0; i < TABLE_TAG_WORDS && r == 0 && !ret_probe->confirmed; i++) {
        r = probe_word(key, word_at(key, i), ret_probe);
    }
    return r;
}

void table_search(const struct table_key *key, uint64_t live_from, struct table_place *ret_place)
{
    for (uint32_t i = 0; i < TABLE_TAG_WORDS; i++) {
        uint32_t word = word_at(key, i);
        uint64_t matches = table_matches(atomic_load(&key->set->tags[word]), key->tag);
        for (; matches != 0; matches &= matches - 1) {
            uint32_t way = word * TABLE_TAGS_A_WORD + table_first_match(matches);
            struct cell_head *cell = table_way(key->set, key->stride, way);
            uint64_t owner = atomic_load(&cell->owner);
            if (owner_is(owner, key->print) && (owner & OWNER_CONFIRMED)) {
                *ret_place = (struct table_place){.cell = cell, .owner = owner};
                return;
            }
        }
    }
    bool overflow = is_crowded(key->set, live_from);
    *ret_place =
        (struct table_place){.cell = overflow ? key->overflow : NULL, .overflow = overflow};
}

// Writes the next owner word. -EAGAIN when it is no longer the one that was judged.
static int swap_owner(struct cell_head *cell, uint64_t print, uint64_t owner, uint64_t state,
                      struct table_place *ret_place)
{
    uint64_t next = owner_next(print, owner, state);
    if (!atomic_compare_exchange_strong(&cell->owner, &owner, next)) {
        return -EAGAIN;
    }
    *ret_place =
        (struct table_place){.cell = cell, .owner = next, .tentative = !(state & OWNER_CONFIRMED)};
    return 0;
}

// Makes sure that nobody has counted in a confirmed cell since it was judged dead. Condemns it, and
// puts the word that stands now into `owner`. -EAGAIN: it is in use.
static int condemn(struct cell_head *cell, uint64_t live_from, uint64_t *owner)
{
    if (!(*owner & OWNER_CONFIRMED)) {
        return 0;
    }
    uint64_t print = *owner >> OWNER_PRINT_SHIFT;
    struct table_place place = {0};
    int r = swap_owner(cell, print, *owner, OWNER_CONDEMNED, &place);
    if (r == 0 && is_live(cell, live_from)) {
        (void)swap_owner(cell, print, place.owner, OWNER_CONFIRMED, &place);
        return -EAGAIN;
    }
    *owner = place.owner;
    return r;
}

bool table_free_dead(struct table_set *set, uint32_t stride, uint32_t way, uint64_t live_from)
{
    struct cell_head *cell = table_way(set, stride, way);
    uint64_t owner = atomic_load(&cell->owner);
    if (owner >> OWNER_PRINT_SHIFT == 0) { // whoever gave it up may have died before its tag
        uint64_t tags = atomic_load(&set->tags[way / TABLE_TAGS_A_WORD]);
        if (tags >> way % TABLE_TAGS_A_WORD * TAG_BITS & 0xff) {
            (void)put_tag(set, way, 0, cell, owner);
        }
        return false;
    }
    return !is_live(cell, live_from) && condemn(cell, live_from, &owner) == 0 &&
           abandon(set, way, cell, owner);
}

// Frees what is dead in a full set. If that is nothing, nobody need try again before the first of
// its cells dies.
static void free_set(const struct table_key *key, uint64_t live_from)
{
    uint64_t first = UINT64_MAX;
    if (atomic_load(&key->set->full_until) >= live_from) {
        return;
    }
    for (uint32_t way = 0; way < TABLE_WAYS; way++) {
        uint64_t last = atomic_load(&table_way(key->set, key->stride, way)->last);
        bool freed = last < live_from && table_free_dead(key->set, key->stride, way, live_from);
        first = freed || last >= first ? first : last;
    }
    atomic_store(&key->set->full_until, first == UINT64_MAX ? 0 : first);
}

// The home cell or the first other one without a tag and without an owner, else one that somebody
// is just claiming, or died before he had. NULL: the set is full.
static struct cell_head *find_free(const struct table_key *key, uint64_t *ret_owner)
{
    struct cell_head *claimed = NULL;
    uint64_t home = UINT64_C(0x80) << key->home % TABLE_TAGS_A_WORD * TAG_BITS;
    for (uint32_t i = 0; i < TABLE_TAG_WORDS; i++) {
        uint32_t word = word_at(key, i);
        uint64_t matches = table_matches(atomic_load(&key->set->tags[word]), 0);
        matches = i == 0 && (matches & home) ? home : matches;
        for (; matches != 0; matches &= matches - 1) {
            uint32_t way = word * TABLE_TAGS_A_WORD + table_first_match(matches);
            struct cell_head *cell = table_way(key->set, key->stride, way);
            uint64_t owner = atomic_load(&cell->owner);
            if (owner >> OWNER_PRINT_SHIFT == 0) {
                *ret_owner = owner;
                return cell;
            }
            if (!claimed && !(owner & OWNER_CONFIRMED)) {
                claimed = cell;
                *ret_owner = owner;
            }
        }
    }
    return claimed;
}

static int claim_newcomer(const struct table_key *key, uint64_t live_from,
                          struct table_place *ret_place)
{
    struct probe probe;
    int r = probe_set(key, &probe);
    if (r < 0 || probe.confirmed) {
        return -EAGAIN; // now table_find finds it
    }
    if (probe.tentative) {
        *ret_place = (struct table_place){
            .cell = probe.tentative, .owner = probe.tentative_owner, .tentative = true};
        return 0;
    }
    uint64_t owner = 0;
    struct cell_head *cell = NULL;
    if (!is_crowded(key->set, live_from)) {
        cell = find_free(key, &owner);
        if (!cell) {
            free_set(key, live_from);
            cell = find_free(key, &owner);
        }
    }
    if (!cell) {
        *ret_place = (struct table_place){.cell = key->overflow, .overflow = true};
        return 0;
    }
    r = swap_owner(cell, key->print, owner, 0, ret_place);
    bool has = r == 0 && put_tag(key->set, way_of(key, cell), key->tag, cell, ret_place->owner);
    return has ? 0 : -EAGAIN;
}

int table_claim_anew(const struct table_key *key, uint64_t live_from, struct table_place *place)
{
    if (!place->cell) {
        return claim_newcomer(key, live_from, place);
    }
    if (place->overflow) {
        return 0;
    }
    if (!is_live(place->cell, live_from)) {
        return swap_owner(place->cell, key->print, place->owner, OWNER_RETURNING, place);
    }
    bool is_condemned = (place->owner & OWNER_CONDEMNED) == OWNER_CONDEMNED;
    return is_condemned ? swap_owner(place->cell, key->print, place->owner, OWNER_CONFIRMED, place)
                        : 0;
}

int table_settle(const struct table_key *key, uint64_t live_from, struct table_place *place)
{
    struct probe probe;
    int r = probe_set(key, &probe);
    if (r < 0 || probe.confirmed || probe.tentative != place->cell ||
        probe.tentative_owner != place->owner) {
        return -EAGAIN;
    }
    if (!(place->owner & OWNER_RETURNING) && is_crowded(key->set, live_from)) {
        (void)abandon(key->set, way_of(key, place->cell), place->cell, place->owner);
        return -EAGAIN; // now table_find finds the overflow cell
    }
    return swap_owner(place->cell, key->print, place->owner, OWNER_CONFIRMED, place);
}

void table_note_shared(const struct table_key *key)
{
    uint64_t last = atomic_load(&key->overflow->last), crowded = atomic_load(&key->set->crowded);
    while (crowded < last && !atomic_compare_exchange_weak(&key->set->crowded, &crowded, last)) {
    }
}

// No cell of the set is the key's, tentative ones included.
bool table_stands_shared(const struct table_key *key)
{
    table_note_shared(key);
    for (uint32_t word = 0; word < TABLE_TAG_WORDS; word++) {
        uint64_t matches = table_matches(atomic_load(&key->set->tags[word]), key->tag);
        for (; matches != 0; matches &= matches - 1) {
            uint32_t way = word * TABLE_TAGS_A_WORD + table_first_match(matches);
            uint64_t owner = atomic_load(&table_way(key->set, key->stride, way)->owner);
            if (owner_is(owner, key->print)) {
                return false;
            }
        }
    }
    return true;
}
