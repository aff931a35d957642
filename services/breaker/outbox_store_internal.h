// What the files of the outbox's store share. Only outbox_{store,accept,move,view,salvage}.c
// include this.
#ifndef VALVECHAIN_BREAKER_OUTBOX_STORE_INTERNAL_H
#define VALVECHAIN_BREAKER_OUTBOX_STORE_INTERNAL_H

#include "outbox_store.h"

#define OUTBOX_ROW_BYTES 512 // what a row costs beside its head and body

struct outbox_row {
    int64_t seq, lane; // lane 0: none
    int state;
    int64_t bytes;
    char upstream[OUTBOX_NAME_MAX];
};

static inline bool outbox_is_live(int state)
{
    return state == OUTBOX_QUEUED || state == OUTBOX_SENDING;
}
static inline bool outbox_is_result(int state)
{
    return state == OUTBOX_DONE || state == OUTBOX_DISCARDED;
}
void outbox_store_count(struct outbox_store *store, const char *upstream, int state, int items,
                        int64_t bytes);
// Items and bytes: of results, or of all else (which the limits bound).
void outbox_store_sum(const struct outbox_store *store, bool results, uint64_t *ret_items,
                      uint64_t *ret_bytes);
int outbox_store_note_lane(struct outbox_store *store, int64_t lane, int change);
int outbox_store_lane_busy(struct outbox_store *store, int64_t lane, bool *ret_busy);
int outbox_store_row(struct outbox_store *store, int64_t seq,
                     struct outbox_row *ret_row); // -ENOENT
// Changes the index for a row of SQL_names.
int outbox_store_index(struct outbox_store *store, sqlite3_stmt *names,
                       int (*change)(struct outbox_index *, const void *, size_t, int64_t));
// Its file goes after the commit.
int outbox_store_drop_file(struct outbox_store *store, const char *file);
int outbox_copy_blob(sqlite3_stmt *statement, int column, ProtobufCBinaryData *ret);
// What of `from` can be read and matches its checksums, into the store's own database.
int outbox_salvage(struct outbox_store *store, const char *from, struct outbox_damage *damage);

#endif
