// Where in the outbox's database an operation stands, by its id or by its idempotency key: a hash
// table in memory, read from the rows when the database is opened. On the disk it would be what an
// accepted operation costs most: keys are random, so each dirties a page of its own. 16 bytes an
// entry and two entries an operation, in a table that is 3/8 to 3/4 full.
//
// An answer is a place to look at, not a promise: the row there says whether it is the one.
// Changes belong to a transaction, as the rows do. Thread: any, one at a time.
#ifndef VALVECHAIN_BREAKER_OUTBOX_INDEX_H
#define VALVECHAIN_BREAKER_OUTBOX_INDEX_H

#include <sodium.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct outbox_entry {
    uint64_t hash;
    int64_t seq; // 0: none
};
struct outbox_index_change {
    struct outbox_entry entry;
    bool added; // else to be removed by the commit
};

struct outbox_index {                                // all 0: empty, but for the secret
    unsigned char secret[crypto_shorthash_KEYBYTES]; // nobody chooses keys that meet in one place
    struct outbox_entry *entries;
    size_t cap, n;                       // cap: a power of two
    struct outbox_index_change *changes; // of this transaction
    size_t n_changes, cap_changes;
};

void outbox_index_init(struct outbox_index *index);
void outbox_index_fini(struct outbox_index *index);

// -ENOMEM: nothing was changed.
int outbox_index_add(struct outbox_index *index, const void *name, size_t len, int64_t seq);
// By the commit: until then the row may come back.
int outbox_index_remove(struct outbox_index *index, const void *name, size_t len, int64_t seq);
void outbox_index_commit(struct outbox_index *index);
void outbox_index_rollback(struct outbox_index *index);

// The next place for this name, 0: no more. `at` begins as SIZE_MAX.
int64_t outbox_index_next(const struct outbox_index *index, const void *name, size_t len,
                          size_t *at);

#endif
