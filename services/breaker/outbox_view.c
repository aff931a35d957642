// Operations as those see them who ask: GET /api/operations/{id} and valvectl. Fields that carry
// secrets are masked here, so that no view can forget it.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "outbox_store_internal.h"

#define HEADERS_SHOWN 64

static bool is_secret(const char *name, size_t len)
{
    // Also x-api-key, x-auth-token, my-session-secret: rather one too many.
    static const char *const words[] = {"authorization", "cookie",    "key",
                                        "token",         "secret",    "password",
                                        "session",       "signature", "credential"};
    if (len == strlen("Idempotency-Key") && strncasecmp(name, "Idempotency-Key", len) == 0)
        return false;
    for (size_t w = 0; w < sizeof(words) / sizeof(words[0]); w++) {
        size_t word_len = strlen(words[w]);
        for (size_t i = 0; i + word_len <= len; i++)
            if (strncasecmp(name + i, words[w], word_len) == 0)
                return true;
    }
    return false;
}

// A query may carry a key: its values are not shown.
static char *line_without_query(const char *line, size_t len)
{
    const char *mark = memchr(line, '?', len);
    char *text;
    if (mark == NULL)
        return strndup(line, len);
    const char *end = memchr(mark, ' ', len - (size_t)(mark - line));
    int rc = asprintf(&text, "%.*s?***%.*s", (int)(mark - line), line,
                      end != NULL ? (int)(len - (size_t)(end - line)) : 0, end != NULL ? end : "");
    return rc < 0 ? NULL : text;
}

static char *masked(const char *line, size_t len)
{
    const char *colon = memchr(line, ':', len);
    char *text;
    if (colon == NULL || !is_secret(line, (size_t)(colon - line)))
        return strndup(line, len);
    return asprintf(&text, "%.*s: ***", (int)(colon - line), line) < 0 ? NULL : text;
}

static int view_head(const char *head, size_t len, Valvechain__V1__OutboxOperation *ret)
{
    ret->headers = calloc(HEADERS_SHOWN, sizeof(char *));
    if (ret->headers == NULL)
        return -ENOMEM;
    for (size_t at = 0; at < len && ret->n_headers < HEADERS_SHOWN;) {
        const char *end = memchr(head + at, '\n', len - at);
        size_t next = end != NULL ? (size_t)(end - head) + 1 : len;
        size_t n = (end != NULL ? (size_t)(end - head) : len) - at;
        n -= n > 0 && head[at + n - 1] == '\r';
        char *text = at == 0 ? line_without_query(head, n) : masked(head + at, n);
        if (text == NULL)
            return -ENOMEM;
        if (at == 0)
            ret->request_line = text;
        else if (n > 0)
            ret->headers[ret->n_headers++] = text;
        else
            free(text);
        at = next;
    }
    return 0;
}

int outbox_store_find(struct outbox_store *store, const char *id, int64_t *ret_seq)
{
    unsigned char bytes[OUTBOX_ID_BYTES];
    size_t len = 0;
    if (strlen(id) != OUTBOX_ID_TEXT - 1 ||
        sodium_hex2bin(bytes, sizeof(bytes), id, OUTBOX_ID_TEXT - 1, NULL, &len, NULL) < 0 ||
        len != sizeof(bytes))
        return -ENOENT;
    size_t at = SIZE_MAX;
    int64_t seq;
    int rc = 0;
    while (rc == 0 && (seq = outbox_index_next(&store->index, bytes, sizeof(bytes), &at)) != 0) {
        sqlite3_stmt *statement = outbox_db_use(&store->db, SQL_is_id);
        sqlite3_bind_int64(statement, 1, seq);
        outbox_bind_blob(statement, 2, bytes, sizeof(bytes));
        rc = outbox_db_next(&store->db, statement);
        sqlite3_reset(statement);
    }
    if (rc <= 0)
        return rc < 0 ? rc : -ENOENT;
    *ret_seq = seq;
    return 0;
}

static uint64_t column_u64(sqlite3_stmt *row, int column)
{
    int64_t number = sqlite3_column_int64(row, column);
    return number > 0 ? (uint64_t)number : 0;
}

static int view_row(sqlite3_stmt *row, Valvechain__V1__OutboxOperation *ret)
{
    char id[OUTBOX_ID_TEXT];
    int state = sqlite3_column_int(row, 2);
    if (sqlite3_column_bytes(row, 0) != OUTBOX_ID_BYTES || state < 0 || state >= OUTBOX_STATES)
        return -EUCLEAN;
    outbox_id_text(sqlite3_column_blob(row, 0), id);
    ret->id = strdup(id);
    ret->state = strdup(outbox_state_names[state]);
    ret->upstream = outbox_column_text(row, 3);
    ret->route = outbox_column_text(row, 4);
    ret->lane = outbox_column_text(row, 5);
    ret->attempts = (uint32_t)sqlite3_column_int(row, 6);
    ret->last_error = outbox_column_text(row, 7);
    ret->accepted_ms = column_u64(row, 8);
    ret->due_ms = state == OUTBOX_QUEUED ? column_u64(row, 9) : 0;
    ret->expires_ms = state == OUTBOX_QUEUED || state == OUTBOX_SENDING ? column_u64(row, 10) : 0;
    ret->finished_ms = column_u64(row, 11);
    ret->answer_status = (uint32_t)sqlite3_column_int(row, 12);
    ret->answer_type = outbox_column_text(row, 13);
    ret->body_bytes = column_u64(row, 15);
    int rc = outbox_copy_blob(row, 1, &ret->scope);
    rc = rc < 0 ? rc : outbox_copy_blob(row, 14, &ret->answer);
    if (rc == 0 && sqlite3_column_bytes(row, 16) > 0)
        rc = view_head(sqlite3_column_blob(row, 16), (size_t)sqlite3_column_bytes(row, 16), ret);
    bool whole = ret->id && ret->state && ret->upstream && ret->route && ret->lane &&
                 ret->last_error && ret->answer_type;
    return rc == 0 && !whole ? -ENOMEM : rc;
}

int outbox_store_view(struct outbox_store *store, int64_t seq, Valvechain__V1__OutboxOperation *ret)
{
    sqlite3_stmt *statement = outbox_db_use(&store->db, SQL_view);
    sqlite3_bind_int64(statement, 1, seq);
    int rc = outbox_db_next(&store->db, statement);
    if (rc <= 0)
        return rc < 0 ? rc : -ENOENT;
    rc = view_row(statement, ret);
    ret->status = 200;
    sqlite3_reset(statement);
    return rc;
}

int outbox_store_list(struct outbox_store *store, const char *upstream, int state, unsigned limit,
                      Valvechain__V1__OutboxCommandResult *reply)
{
    reply->operations = calloc(limit, sizeof(Valvechain__V1__OutboxOperation *));
    if (reply->operations == NULL)
        return -ENOMEM;
    sqlite3_stmt *statement = outbox_db_use(&store->db, SQL_list);
    outbox_bind_text(statement, 1, upstream);
    sqlite3_bind_int(statement, 2, state);
    sqlite3_bind_int64(statement, 3, limit);
    int rc;
    while ((rc = outbox_db_next(&store->db, statement)) > 0 && reply->n_operations < limit) {
        Valvechain__V1__OutboxOperation *operation = malloc(sizeof(*operation));
        if (operation == NULL)
            return -ENOMEM;
        valvechain__v1__outbox_operation__init(operation);
        reply->operations[reply->n_operations++] = operation;
        rc = outbox_store_view(store, sqlite3_column_int64(statement, 0), operation);
        if (rc < 0)
            break;
    }
    sqlite3_reset(statement);
    return rc < 0 ? rc : 0;
}
