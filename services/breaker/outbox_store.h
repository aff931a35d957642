// The outbox's operations in their database. Every change happens inside a transaction that the
// caller opens (outbox_journal.c groups many); the figures kept in memory follow a rollback.
//
//   QUEUED -> SENDING (attempt counted, durable before a byte is sent)
//   SENDING -> DONE | QUEUED (again later) | DEAD | PARKED (unknown outcome, must not be repeated)
//   DEAD, PARKED -> QUEUED (an operator's retry) | DISCARDED
//
// Operations with an ordering key form a lane: only the oldest that waits or is being sent is not
// `blocked`. What is dead or parked blocks its lane no longer.
// Errors: -errno as outbox_db.h. Thread: any, one at a time.
#ifndef VALVECHAIN_BREAKER_OUTBOX_STORE_H
#define VALVECHAIN_BREAKER_OUTBOX_STORE_H

#include "config/model.h"
#include "outbox_db.h"
#include "outbox_index.h"
#include "outbox_upload.h"
#include "valvechain/v1/valvechain.pb-c.h"

#define OUTBOX_ID_BYTES   16
#define OUTBOX_ID_TEXT    33 // hexadecimal, with NUL
#define OUTBOX_HASH_BYTES 16
#define OUTBOX_NAME_MAX   24

enum outbox_state {
    OUTBOX_QUEUED,
    OUTBOX_SENDING,
    OUTBOX_DONE,
    OUTBOX_DEAD,
    OUTBOX_PARKED,
    OUTBOX_DISCARDED,
    OUTBOX_STATES
};
extern const char *const outbox_state_names[OUTBOX_STATES];
enum { OUTBOX_RESEND = 1, OUTBOX_RPC = 2 }; // flags of an operation

struct outbox_limits {
    uint64_t max_items, max_bytes, max_age_ms, keep_ms;
    uint64_t
        born_ms; // of the owner: a body's file that is older and nobody's is removed at the start
};
struct outbox_figures { // of one upstream
    char upstream[OUTBOX_NAME_MAX];
    uint64_t items[OUTBOX_STATES], bytes[OUTBOX_STATES];
    bool paused;
};
struct outbox_totals {
    struct outbox_figures upstreams[CONFIG_UPSTREAMS_MAX];
    size_t n;
};
// A change of how many operations of a lane wait or are being sent.
struct outbox_lane_change {
    int64_t lane;
    int change;
};

struct outbox_store {
    struct outbox_db db;
    struct outbox_index index; // by id, by key
    struct outbox_limits limits;
    struct outbox_totals totals, totals_before; // before: of this transaction
    struct outbox_lane_change *lane_changes;    // of this transaction
    size_t n_lane_changes, cap_lane_changes;
    char **dropped_files; // by this transaction
    size_t n_dropped_files, cap_dropped_files;
    unsigned char random[1024]; // the last n_random bytes of it are not used yet
    size_t n_random;
};
struct outbox_damage { // what a start found
    bool found;
    char why[256], aside[OUTBOX_PATH_MAX + 64];
    uint64_t saved, lost; // operations of the damaged file; lost: not readable
};

// Opens, sets a damaged file aside and begins a new one with what can be read of it, and decides on
// what was being sent when the owner died: sent again when it may be, else parked.
int outbox_store_open(struct outbox_store *store, const char *path,
                      const struct outbox_limits *limits, uint64_t now_ms,
                      struct outbox_damage *ret_damage);
void outbox_store_close(struct outbox_store *store);

int outbox_store_begin(struct outbox_store *store);
int outbox_store_commit(struct outbox_store *store); // lane_changes then are what it changed
void outbox_store_rollback(struct outbox_store *store);

// Keeps an operation or says why not (the receipt; its texts and bytes are malloc'd). `upload`
// NULL: the body is in `submit`. -errno: nothing was decided.
int outbox_store_accept(struct outbox_store *store, const Valvechain__V1__OutboxSubmit *submit,
                        const struct outbox_body *upload, uint64_t now_ms,
                        Valvechain__V1__OutboxReceipt *ret_receipt);

// An operation to be sent: its attempt is counted.
struct outbox_call {
    int64_t seq;
    char id[OUTBOX_ID_TEXT];
    unsigned attempt; // this one, from 1
    unsigned flags;
    uint64_t accepted_ms, expires_ms;
    char *head;
    size_t head_len;
    void *body;
    size_t body_len;
    char *file; // NULL: `body`
};
void outbox_call_fini(struct outbox_call *call);
// -ENODATA: nothing is due.
int outbox_store_claim(struct outbox_store *store, const char *upstream, uint64_t now_ms,
                       struct outbox_call *ret_call);

struct outbox_verdict { // what becomes of an operation after an attempt
    enum outbox_state state;
    uint64_t due_ms; // QUEUED: when next
    char error[160];
    unsigned answer_status; // 0: none
    char answer_type[128];
    void *answer; // malloc'd
    size_t answer_len;
};
int outbox_store_settle(struct outbox_store *store, int64_t seq,
                        const struct outbox_verdict *verdict, uint64_t now_ms);

// How many are due now (at most 64), and when the next is (UINT64_MAX: never).
int outbox_store_due(struct outbox_store *store, const char *upstream, uint64_t now_ms,
                     unsigned *ret_due, uint64_t *ret_next_ms);
int outbox_store_oldest(struct outbox_store *store, const char *upstream, uint64_t *ret_ms);
// Ends what is too old (on_dead is told each), forgets results that were kept long enough.
int outbox_store_sweep(struct outbox_store *store, uint64_t now_ms,
                       void (*on_dead)(void *arg, int64_t seq), void *arg);
// Calls back for the lane of every operation that waits or is being sent.
int outbox_store_lanes(struct outbox_store *store, void (*each)(void *arg, int64_t lane),
                       void *arg);

struct outbox_figures *outbox_store_figures(struct outbox_store *store, const char *upstream);
int outbox_store_set_paused(struct outbox_store *store, const char *upstream, bool paused);

// outbox_view.c: for GET /api/operations and valvectl. `ret` is filled with malloc'd members.
int outbox_store_find(struct outbox_store *store, const char *id, int64_t *ret_seq); // -ENOENT
int outbox_store_view(struct outbox_store *store, int64_t seq,
                      Valvechain__V1__OutboxOperation *ret);
int outbox_store_list(struct outbox_store *store, const char *upstream, int state, unsigned limit,
                      Valvechain__V1__OutboxCommandResult *reply);
// An operator's word; -EPERM: not in this state.
int outbox_store_retry(struct outbox_store *store, int64_t seq, uint64_t now_ms);
int outbox_store_discard(struct outbox_store *store, int64_t seq, uint64_t now_ms);
void outbox_id_text(const void *id, char ret_text[OUTBOX_ID_TEXT]);

#endif
