// Accepting an operation, and what its idempotency key says
// (draft-ietf-httpapi-idempotency-key-header).
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "outbox_store_internal.h"
#include "service/lanes.h"

// A JSON-RPC call without its id: that tells attempts of the caller apart, not calls. NULL: as it
// is.
static char *call_without_id(const Valvechain__V1__OutboxSubmit *submit)
{
    json_t *call = submit->rpc && submit->body.len > 0
                       ? json_loadb((const char *)submit->body.data, submit->body.len, 0, NULL)
                       : NULL;
    if (call == NULL)
        return NULL;
    (void)json_object_del(call, "id");
    char *text = json_dumps(call, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(call);
    return text;
}

enum body_hash { HASH_SUM, HASH_BLAKE2 };

// A sum keeps a client from nothing but to take two of his own bodies for one, and costs a tenth.
// Schema 2 hashed all bodies; uploads are hashed as they come.
static void hash_of_body(const Valvechain__V1__OutboxSubmit *submit,
                         const struct outbox_body *upload, enum body_hash how,
                         unsigned char ret_hash[OUTBOX_HASH_BYTES])
{
    if (upload != NULL) {
        crypto_generichash_state state = upload->hash;
        crypto_generichash_final(&state, ret_hash, OUTBOX_HASH_BYTES);
    } else {
        char *call = call_without_id(submit);
        const void *bytes = call != NULL ? (const void *)call : submit->body.data;
        size_t len = call != NULL ? strlen(call) : submit->body.len;
        uint64_t words[2] = {outbox_sum(bytes, len), len};
        if (how == HASH_SUM)
            memcpy(ret_hash, words, sizeof(words));
        else
            crypto_generichash(ret_hash, OUTBOX_HASH_BYTES, bytes, len, NULL, 0);
        free(call);
    }
}

// What tells two requests of one key apart: the request line and the body.
static void fingerprint(const Valvechain__V1__OutboxSubmit *submit,
                        const struct outbox_body *upload, enum body_hash how,
                        unsigned char ret_print[OUTBOX_HASH_BYTES])
{
    unsigned char body_hash[OUTBOX_HASH_BYTES];
    crypto_generichash_state state;
    const unsigned char *end = memchr(submit->head.data, '\n', submit->head.len);
    hash_of_body(submit, upload, how, body_hash);
    crypto_generichash_init(&state, NULL, 0, OUTBOX_HASH_BYTES);
    crypto_generichash_update(&state, submit->head.data,
                              end != NULL ? (size_t)(end - submit->head.data) : submit->head.len);
    crypto_generichash_update(&state, body_hash, OUTBOX_HASH_BYTES);
    crypto_generichash_final(&state, ret_print, OUTBOX_HASH_BYTES);
}

// The kernel is asked once for many.
static void take_random(struct outbox_store *store, unsigned char *bytes, size_t len)
{
    if (store->n_random < len) {
        randombytes_buf(store->random, sizeof(store->random));
        store->n_random = sizeof(store->random);
    }
    store->n_random -= len;
    memcpy(bytes, store->random + store->n_random, len);
}

// RFC 9562, version 7: ordered by time, so that its index grows at one end.
static void make_id(struct outbox_store *store, uint64_t now_ms, unsigned char id[OUTBOX_ID_BYTES])
{
    take_random(store, id, OUTBOX_ID_BYTES);
    for (int i = 0; i < 6; i++)
        id[i] = (unsigned char)(now_ms >> (40 - 8 * i));
    id[6] = (unsigned char)((id[6] & 0x0f) | 0x70);
    id[8] = (unsigned char)((id[8] & 0x3f) | 0x80);
}

static int refuse(Valvechain__V1__OutboxReceipt *receipt, unsigned status, const char *code)
{
    receipt->status = status;
    receipt->code = strdup(code);
    return receipt->code == NULL ? -ENOMEM : 0;
}

// With the print as schema 2 made it, too: an operation of before an upgrade is still the same.
static bool is_same(const void *kept, const unsigned char *print,
                    const Valvechain__V1__OutboxSubmit *submit, const struct outbox_body *upload)
{
    unsigned char old[OUTBOX_HASH_BYTES];
    if (memcmp(kept, print, OUTBOX_HASH_BYTES) == 0)
        return true;
    fingerprint(submit, upload, HASH_BLAKE2, old);
    return memcmp(kept, old, OUTBOX_HASH_BYTES) == 0;
}

// The key was used before: the answer of then, or why not.
static int answer_again(sqlite3_stmt *row, bool same, Valvechain__V1__OutboxReceipt *receipt)
{
    char id[OUTBOX_ID_TEXT];
    int state = sqlite3_column_int(row, 3);
    if (sqlite3_column_bytes(row, 1) != OUTBOX_ID_BYTES)
        return -EUCLEAN;
    outbox_id_text(sqlite3_column_blob(row, 1), id);
    receipt->id = strdup(id);
    if (!same)
        return refuse(receipt, 422, "idempotency_key_reused");
    if (state == OUTBOX_SENDING)
        return refuse(receipt, 409, "operation_in_flight");
    receipt->status = 202;
    if (state != OUTBOX_DONE)
        return receipt->id == NULL ? -ENOMEM : 0;
    receipt->status = 200;
    receipt->answer_status = (unsigned)sqlite3_column_int(row, 4);
    receipt->answer_type = outbox_column_text(row, 5);
    return outbox_copy_blob(row, 6, &receipt->answer);
}

static int insert_content(struct outbox_store *store, int64_t seq,
                          const Valvechain__V1__OutboxSubmit *submit,
                          const struct outbox_body *upload)
{
    sqlite3_stmt *statement = outbox_db_use(&store->db, SQL_insert_content);
    sqlite3_bind_int64(statement, 1, seq);
    outbox_bind_blob(statement, 2, submit->head.data, submit->head.len);
    if (upload != NULL)
        outbox_bind_text(statement, 4, upload->file);
    else
        outbox_bind_blob(statement, 3, submit->body.data, submit->body.len);
    return outbox_db_run(&store->db, statement);
}

static int insert(struct outbox_store *store, const Valvechain__V1__OutboxSubmit *submit,
                  const struct outbox_body *upload, const unsigned char *print, uint64_t now_ms,
                  Valvechain__V1__OutboxReceipt *receipt)
{
    unsigned char id[OUTBOX_ID_BYTES];
    char id_text[OUTBOX_ID_TEXT];
    bool busy;
    int64_t lane = submit->lane[0] != '\0' ? lanes_hash(submit->upstream, submit->lane) : 0;
    int rc = outbox_store_lane_busy(store, lane, &busy);
    if (rc < 0)
        return rc;
    uint64_t body_bytes = upload != NULL ? upload->bytes : submit->body.len;
    uint64_t bytes = body_bytes + submit->head.len + OUTBOX_ROW_BYTES;
    make_id(store, now_ms, id);
    sqlite3_stmt *statement = outbox_db_use(&store->db, SQL_insert);
    outbox_bind_blob(statement, 1, id, sizeof(id));
    outbox_bind_blob(statement, 2, submit->key.data, submit->key.len);
    outbox_bind_blob(statement, 3, print, OUTBOX_HASH_BYTES);
    outbox_bind_blob(statement, 4, submit->scope.data, submit->scope.len);
    outbox_bind_text(statement, 5, submit->upstream);
    outbox_bind_text(statement, 6, submit->route);
    if (lane != 0)
        sqlite3_bind_int64(statement, 7, lane);
    outbox_bind_text(statement, 8, submit->lane);
    sqlite3_bind_int(statement, 9, busy);
    sqlite3_bind_int(statement, 10,
                     (submit->resend ? OUTBOX_RESEND : 0) | (submit->rpc ? OUTBOX_RPC : 0));
    sqlite3_bind_int64(statement, 11, (int64_t)now_ms);
    sqlite3_bind_int64(statement, 12, (int64_t)(now_ms + store->limits.max_age_ms));
    sqlite3_bind_int64(statement, 13, (int64_t)bytes);
    sqlite3_bind_int64(statement, 14, (int64_t)body_bytes);
    rc = outbox_db_run(&store->db, statement);
    int64_t seq = sqlite3_last_insert_rowid(store->db.sqlite);
    rc = rc < 0 ? rc : insert_content(store, seq, submit, upload);
    rc = rc < 0 ? rc : outbox_index_add(&store->index, id, sizeof(id), seq);
    if (rc == 0 && submit->key.len > 0)
        rc = outbox_index_add(&store->index, submit->key.data, submit->key.len, seq);
    rc = rc < 0 ? rc : outbox_store_note_lane(store, lane, 1);
    if (rc < 0)
        return rc;
    outbox_store_count(store, submit->upstream, OUTBOX_QUEUED, 1, (int64_t)bytes);
    outbox_id_text(id, id_text);
    receipt->status = 202;
    receipt->is_new = true;
    receipt->id = strdup(id_text);
    return receipt->id == NULL ? -ENOMEM : 0;
}

// The receipt's status stays 0 when the key is new.
static int look_up(struct outbox_store *store, const Valvechain__V1__OutboxSubmit *submit,
                   const struct outbox_body *upload, const unsigned char *print,
                   Valvechain__V1__OutboxReceipt *receipt)
{
    size_t at = SIZE_MAX;
    int64_t seq;
    int rc = 0;
    while (rc == 0 && receipt->status == 0 &&
           (seq = outbox_index_next(&store->index, submit->key.data, submit->key.len, &at)) != 0) {
        sqlite3_stmt *known = outbox_db_use(&store->db, SQL_find_key);
        sqlite3_bind_int64(known, 1, seq);
        outbox_bind_blob(known, 2, submit->key.data, submit->key.len);
        rc = outbox_db_next(&store->db, known);
        if (rc > 0 && sqlite3_column_bytes(known, 2) != OUTBOX_HASH_BYTES)
            rc = -EUCLEAN;
        if (rc > 0)
            rc = answer_again(known, is_same(sqlite3_column_blob(known, 2), print, submit, upload),
                              receipt);
        sqlite3_reset(known);
    }
    return rc;
}

int outbox_store_accept(struct outbox_store *store, const Valvechain__V1__OutboxSubmit *submit,
                        const struct outbox_body *upload, uint64_t now_ms,
                        Valvechain__V1__OutboxReceipt *receipt)
{
    unsigned char print[OUTBOX_HASH_BYTES];
    uint64_t items, bytes;
    fingerprint(submit, upload, HASH_SUM, print);
    int rc = submit->key.len > 0 ? look_up(store, submit, upload, print, receipt) : 0;
    if (rc < 0 || receipt->status != 0)
        return rc;
    outbox_store_sum(store, false, &items, &bytes);
    uint64_t body_bytes = upload != NULL ? upload->bytes : submit->body.len;
    if (items >= store->limits.max_items ||
        bytes + body_bytes + submit->head.len + OUTBOX_ROW_BYTES > store->limits.max_bytes)
        return refuse(receipt, 503, "outbox_full");
    return insert(store, submit, upload, print, now_ms, receipt);
}
