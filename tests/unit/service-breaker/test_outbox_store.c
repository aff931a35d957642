// Operations in their database: what is accepted, in which order it is claimed, what time does.
#include <errno.h>

#include "outbox_fixture.h"
#include "service/lanes.h"

TestSuite(outbox_store, .init = outbox_setup, .fini = outbox_teardown);

static const struct outbox_verdict done = {.state = OUTBOX_DONE, .answer_status = 201};

Test(outbox_store, a_key_answers_by_what_became_of_it)
{
    const struct submission first = {.key = "k1", .body = "one"};
    Valvechain__V1__OutboxReceipt kept = accept(first, T0);
    cr_assert(kept.status == 202 && kept.is_new);
    Valvechain__V1__OutboxReceipt again = accept(first, T0 + 1);
    cr_assert(again.status == 202 && !again.is_new, "still queued: the same answer");
    cr_assert_str_eq(again.id, kept.id);
    receipt_free(&again);

    again = accept((struct submission){.key = "k1", .body = "two"}, T0 + 1);
    cr_assert_eq(again.status, 422);
    cr_assert_str_eq(again.code, "idempotency_key_reused");
    receipt_free(&again);

    struct outbox_call call;
    cr_assert_eq(claim(T0 + 2, &call), 0);
    again = accept(first, T0 + 3);
    cr_assert_eq(again.status, 409);
    cr_assert_str_eq(again.code, "operation_in_flight");
    receipt_free(&again);
    cr_assert_eq(accept_status((struct submission){.key = "k1", .body = "two"}, T0 + 3), 422,
                 "another payload is that also while the first is under way");

    struct outbox_verdict verdict = done;
    snprintf(verdict.answer_type, sizeof(verdict.answer_type), "text/plain");
    verdict.answer = strdup("created");
    verdict.answer_len = 7;
    settle(call.seq, verdict, T0 + 4);
    free(verdict.answer);
    outbox_call_fini(&call);
    again = accept(first, T0 + 5);
    cr_assert(again.status == 200 && again.answer_status == 201 && !again.is_new);
    cr_assert_str_eq(again.answer_type, "text/plain");
    cr_assert(again.answer.len == 7 && memcmp(again.answer.data, "created", 7) == 0);
    cr_assert_str_eq(again.id, kept.id);
    receipt_free(&again);
    receipt_free(&kept);
    cr_assert_eq(count(OUTBOX_DONE), 1);
}

static void no_dead(void *arg, int64_t seq)
{
    (void)seq;
    ++*(int *)arg;
}

static int sweep(uint64_t now_ms)
{
    int dead = 0;
    cr_assert_eq(outbox_store_begin(&store), 0);
    cr_assert_eq(outbox_store_sweep(&store, now_ms, no_dead, &dead), 0);
    cr_assert_eq(outbox_store_commit(&store), 0);
    return dead;
}

Test(outbox_store, a_result_and_its_key_are_forgotten_in_time)
{
    struct outbox_call call;
    cr_assert_eq(accept_status((struct submission){.key = "k1", .body = "one"}, T0), 202);
    cr_assert_eq(claim(T0, &call), 0);
    settle(call.seq, done, T0 + 100);
    outbox_call_fini(&call);
    sweep(T0 + 100 + limits.keep_ms - 1);
    cr_assert_eq(accept_status((struct submission){.key = "k1", .body = "one"}, T0 + 101), 200);
    sweep(T0 + 100 + limits.keep_ms);
    Valvechain__V1__OutboxReceipt anew =
        accept((struct submission){.key = "k1", .body = "two"}, T0 + 100 + limits.keep_ms);
    cr_assert(anew.status == 202 && anew.is_new, "its key is free for anything");
    receipt_free(&anew);
}

Test(outbox_store, what_is_too_old_is_dead_and_gets_no_attempt)
{
    struct outbox_call call;
    cr_assert_eq(accept_status((struct submission){.body = "old"}, T0), 202);
    cr_assert_eq(accept_status((struct submission){.body = "young"}, T0 + 1000), 202);
    cr_assert_eq(sweep(T0 + AGE_MS - 1), 0);
    cr_assert_eq(sweep(T0 + AGE_MS), 1);
    cr_assert_eq(count(OUTBOX_DEAD), 1);
    cr_assert_eq(claim(T0 + AGE_MS, &call), 0);
    cr_assert(call.body_len == 5 && memcmp(call.body, "young", 5) == 0);
    outbox_call_fini(&call);
    cr_assert_eq(sweep(T0 + 1000 + AGE_MS), 0, "it is being sent: its attempt decides");
}

Test(outbox_store, no_more_items_and_bytes_than_the_limits)
{
    limits.max_items = 3;
    store_reopen(T0);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(accept_status((struct submission){.body = "x"}, T0), 202);
    Valvechain__V1__OutboxReceipt full = accept((struct submission){.body = "x"}, T0);
    cr_assert_eq(full.status, 503);
    cr_assert_str_eq(full.code, "outbox_full");
    receipt_free(&full);
    struct outbox_call call;
    cr_assert_eq(claim(T0, &call), 0);
    settle(call.seq, done, T0);
    outbox_call_fini(&call);
    cr_assert_eq(accept_status((struct submission){.body = "x"}, T0), 202,
                 "a result takes no room");

    limits.max_items = 1000;
    limits.max_bytes = 21000; // an operation counts head, body and 512 bytes; three wait
    store_reopen(T0);
    char body[4001];
    memset(body, 'b', sizeof(body) - 1);
    body[sizeof(body) - 1] = '\0';
    int kept = 0;
    while (accept_status((struct submission){.body = body}, T0) == 202)
        cr_assert_lt(++kept, 6);
    cr_assert_eq(kept, (21000 - 3 * 546) / 4545);
    cr_assert_eq(accept_status((struct submission){.body = "small"}, T0), 202);
}

Test(outbox_store, an_attempt_is_counted_before_it_can_be_sent)
{
    struct outbox_call call;
    cr_assert_eq(accept_status((struct submission){.key = "k", .body = "keyed"}, T0), 202);
    cr_assert_eq(accept_status((struct submission){.body = "plain"}, T0), 202);
    cr_assert_eq(claim(T0, &call), 0);
    cr_assert_eq(call.attempt, 1);
    outbox_call_fini(&call);
    cr_assert_eq(claim(T0, &call), 0);
    outbox_call_fini(&call);
    cr_assert_eq(claim(T0, &call), -ENODATA);
    store_reopen(T0 + 1); // as after a kill: whether they arrived, nobody knows
    cr_assert_eq(count(OUTBOX_QUEUED), 1);
    cr_assert_eq(count(OUTBOX_PARKED), 1, "the one without a key waits for a person");
    cr_assert_eq(claim(T0 + 1, &call), 0);
    cr_assert(call.attempt == 2 && memcmp(call.body, "keyed", 5) == 0);
    outbox_call_fini(&call);
}

Test(outbox_store, what_was_rolled_back_did_not_happen)
{
    struct outbox_call call;
    cr_assert_eq(accept_status((struct submission){.body = "a"}, T0), 202);
    cr_assert_eq(outbox_store_begin(&store), 0);
    cr_assert_eq(outbox_store_claim(&store, "sink", T0, &call), 0);
    outbox_store_rollback(&store);
    outbox_call_fini(&call);
    cr_assert_eq(count(OUTBOX_QUEUED), 1);
    cr_assert_eq(count(OUTBOX_SENDING), 0);
    cr_assert_eq(claim(T0, &call), 0);
    cr_assert_eq(call.attempt, 1);
    outbox_call_fini(&call);
}

static int claim_body(uint64_t now_ms, char body[16], int64_t *seq)
{
    struct outbox_call call;
    int rc = claim(now_ms, &call);
    if (rc < 0)
        return rc;
    snprintf(body, 16, "%.*s", (int)call.body_len, (const char *)call.body);
    *seq = call.seq;
    outbox_call_fini(&call);
    return 0;
}

Test(outbox_store, a_lane_is_a_queue_and_lanes_do_not_wait_for_each_other)
{
    char body[16];
    int64_t a1, a2, b1, none;
    static const char *const bodies[] = {"a1", "a2", "b1", "b2"};
    for (int i = 0; i < 4; i++)
        cr_assert_eq(
            accept_status((struct submission){.lane = i < 2 ? "a" : "b", .body = bodies[i]},
                          T0 + (uint64_t)i),
            202);
    cr_assert(claim_body(T0 + 10, body, &a1) == 0 && strcmp(body, "a1") == 0, "%s", body);
    cr_assert(claim_body(T0 + 10, body, &b1) == 0 && strcmp(body, "b1") == 0, "%s", body);
    cr_assert_eq(claim_body(T0 + 10, body, &none), -ENODATA, "both lanes are under way");

    // One that comes again later holds its lane up, and its lane only.
    settle(a1, (struct outbox_verdict){.state = OUTBOX_QUEUED, .due_ms = T0 + 500}, T0 + 20);
    cr_assert_eq(claim_body(T0 + 20, body, &none), -ENODATA);
    settle(b1, done, T0 + 20);
    cr_assert(claim_body(T0 + 20, body, &b1) == 0 && strcmp(body, "b2") == 0, "%s", body);
    cr_assert_eq(claim_body(T0 + 499, body, &none), -ENODATA);
    cr_assert(claim_body(T0 + 500, body, &a1) == 0 && strcmp(body, "a1") == 0, "%s", body);

    // A dead one does not.
    settle(a1, (struct outbox_verdict){.state = OUTBOX_DEAD}, T0 + 501);
    cr_assert(claim_body(T0 + 501, body, &a2) == 0 && strcmp(body, "a2") == 0, "%s", body);

    // Back from the dead it waits behind the one under way.
    cr_assert_eq(outbox_store_begin(&store), 0);
    cr_assert_eq(outbox_store_retry(&store, a1, T0 + 502), 0);
    cr_assert_eq(outbox_store_commit(&store), 0);
    cr_assert_eq(claim_body(T0 + 502, body, &none), -ENODATA);
    settle(a2, done, T0 + 503);
    cr_assert(claim_body(T0 + 503, body, &a1) == 0 && strcmp(body, "a1") == 0, "%s", body);
}

Test(outbox_store, lanes_outlive_their_owner)
{
    char body[16];
    int64_t seq;
    cr_assert_eq(accept_status((struct submission){.key = "1", .lane = "a", .body = "a1"}, T0),
                 202);
    cr_assert_eq(accept_status((struct submission){.key = "2", .lane = "a", .body = "a2"}, T0),
                 202);
    cr_assert_eq(claim_body(T0, body, &seq), 0);
    store_reopen(T0 + 1);
    cr_assert(claim_body(T0 + 1, body, &seq) == 0 && strcmp(body, "a1") == 0, "%s", body);
    cr_assert_eq(claim_body(T0 + 1, body, &seq), -ENODATA);
}

Test(outbox_store, only_what_is_over_may_be_moved_by_an_operator)
{
    struct outbox_call call;
    cr_assert_eq(accept_status((struct submission){.body = "a"}, T0), 202);
    cr_assert_eq(claim(T0, &call), 0);
    cr_assert_eq(outbox_store_begin(&store), 0);
    cr_assert_eq(outbox_store_retry(&store, call.seq, T0), -EPERM);
    cr_assert_eq(outbox_store_discard(&store, call.seq, T0), -EPERM);
    cr_assert_eq(outbox_store_retry(&store, call.seq + 1, T0), -ENOENT);
    cr_assert_eq(outbox_store_commit(&store), 0);
    settle(call.seq, (struct outbox_verdict){.state = OUTBOX_PARKED}, T0);
    cr_assert_eq(outbox_store_begin(&store), 0);
    cr_assert_eq(outbox_store_discard(&store, call.seq, T0), 0);
    cr_assert_eq(outbox_store_discard(&store, call.seq, T0), -EPERM);
    cr_assert_eq(outbox_store_commit(&store), 0);
    cr_assert_eq(count(OUTBOX_DISCARDED), 1);
    outbox_call_fini(&call);
}

static void run_sql(const char *sql)
{
    char *why = NULL;
    cr_assert_eq(sqlite3_exec(store.db.sqlite, sql, NULL, NULL, &why), SQLITE_OK, "%s", why);
}

// As it was made before: indices of ids and keys, names of paused upstreams without a sum, and
// prints of BLAKE2.
static void back_to_schema_2(const char *head, const char *body)
{
    unsigned char hash[OUTBOX_HASH_BYTES], print[OUTBOX_HASH_BYTES];
    char sql[256], hex[2 * OUTBOX_HASH_BYTES + 1];
    crypto_generichash_state state;
    crypto_generichash(hash, sizeof(hash), (const unsigned char *)body, strlen(body), NULL, 0);
    crypto_generichash_init(&state, NULL, 0, sizeof(print));
    crypto_generichash_update(&state, (const unsigned char *)head, strlen(head));
    crypto_generichash_update(&state, hash, sizeof(hash));
    crypto_generichash_final(&state, print, sizeof(print));
    sodium_bin2hex(hex, sizeof(hex), print, sizeof(print));
    snprintf(sql, sizeof(sql), "UPDATE operation SET print = x'%s'", hex);
    run_sql(sql);
    run_sql("DROP TABLE paused; CREATE TABLE paused(upstream TEXT PRIMARY KEY) WITHOUT ROWID;"
            "INSERT INTO paused VALUES('sink'); UPDATE meta SET value = 2 WHERE name = 'schema';"
            "CREATE UNIQUE INDEX operation_id ON operation(id);"
            "CREATE UNIQUE INDEX operation_key ON operation(key) WHERE key IS NOT NULL;");
}

Test(outbox_store, a_database_of_schema_2_is_taken_over)
{
    const struct submission first = {.key = "k1", .body = "one"};
    Valvechain__V1__OutboxReceipt kept = accept(first, T0);
    back_to_schema_2("POST /sink HTTP/1.1\r", "one");
    store_reopen(T0 + 1);
    cr_assert_not(damage.found, "%s", damage.why);
    cr_assert(outbox_store_figures(&store, "sink")->paused);
    Valvechain__V1__OutboxReceipt again = accept(first, T0 + 2);
    cr_assert(again.status == 202 && !again.is_new, "it is known: %u", again.status);
    cr_assert_str_eq(again.id, kept.id);
    cr_assert_eq(accept_status((struct submission){.key = "k1", .body = "two"}, T0 + 3), 422);
    receipt_free(&again);
    receipt_free(&kept);
}

Test(outbox_store, a_key_is_known_after_a_restart_and_free_after_a_rollback)
{
    int64_t seq;
    cr_assert_eq(outbox_store_begin(&store), 0);
    Valvechain__V1__OutboxReceipt lost =
        accept_within((struct submission){.key = "k1", .body = "one"}, T0);
    outbox_store_rollback(&store);
    cr_assert_eq(outbox_store_find(&store, lost.id, &seq), -ENOENT);
    Valvechain__V1__OutboxReceipt kept =
        accept((struct submission){.key = "k1", .body = "two"}, T0);
    cr_assert(kept.status == 202 && kept.is_new);
    store_reopen(T0 + 1);
    cr_assert_eq(outbox_store_find(&store, kept.id, &seq), 0);
    cr_assert_eq(accept_status((struct submission){.key = "k1", .body = "one"}, T0 + 2), 422);
    receipt_free(&lost);
    receipt_free(&kept);
}
