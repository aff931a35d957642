// An outbox's store in a folder of its own. Time is a number the test sets.
#ifndef VALVECHAIN_TESTS_OUTBOX_FIXTURE_H
#define VALVECHAIN_TESTS_OUTBOX_FIXTURE_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "outbox_store.h"

#define T0     UINT64_C(1700000000000)
#define AGE_MS UINT64_C(60000)

static char outbox_dir[64], outbox_path[128];
static struct outbox_store store;
static struct outbox_damage damage;
static struct outbox_limits limits;

static inline int store_open(uint64_t now_ms)
{
    return outbox_store_open(&store, outbox_path, &limits, now_ms, &damage);
}

static inline void outbox_setup(void)
{
    strcpy(outbox_dir, "/tmp/vc-unit-outbox-XXXXXX");
    cr_assert(mkdtemp(outbox_dir) != NULL);
    snprintf(outbox_path, sizeof(outbox_path), "%s/outbox.db", outbox_dir);
    limits = (struct outbox_limits){
        .max_items = 1000, .max_bytes = 1 << 20, .max_age_ms = AGE_MS, .keep_ms = AGE_MS};
    cr_assert_eq(store_open(T0), 0);
}

static inline void outbox_teardown(void)
{
    outbox_store_close(&store);
    DIR *dir = opendir(outbox_dir);
    for (struct dirent *file; (file = readdir(dir)) != NULL;)
        if (file->d_name[0] != '.')
            unlinkat(dirfd(dir), file->d_name, 0);
    closedir(dir);
    rmdir(outbox_dir);
}

// As after a kill: nothing was said goodbye to.
static inline void store_reopen(uint64_t now_ms)
{
    outbox_store_close(&store);
    cr_assert_eq(store_open(now_ms), 0);
}

struct submission {
    const char *key, *lane, *body;
    bool resend;
};

// In the caller's transaction.
static inline Valvechain__V1__OutboxReceipt accept_within(struct submission what, uint64_t now_ms)
{
    static char upstream[] = "sink", route[] = "/sink";
    static uint8_t head[] = "POST /sink HTTP/1.1\r\nHost: sink\r\n";
    Valvechain__V1__OutboxSubmit submit = VALVECHAIN__V1__OUTBOX_SUBMIT__INIT;
    Valvechain__V1__OutboxReceipt receipt = VALVECHAIN__V1__OUTBOX_RECEIPT__INIT;
    unsigned char key[OUTBOX_HASH_BYTES];
    char lane[64], body[8192];
    snprintf(lane, sizeof(lane), "%s", what.lane != NULL ? what.lane : "");
    snprintf(body, sizeof(body), "%s", what.body != NULL ? what.body : "");
    submit.upstream = upstream;
    submit.route = route;
    submit.lane = lane;
    submit.head = (ProtobufCBinaryData){sizeof(head) - 1, head};
    submit.body = (ProtobufCBinaryData){strlen(body), (uint8_t *)body};
    submit.resend = what.resend || what.key != NULL;
    if (what.key != NULL) {
        crypto_generichash(key, sizeof(key), (const unsigned char *)what.key, strlen(what.key),
                           NULL, 0);
        submit.key = (ProtobufCBinaryData){sizeof(key), key};
    }
    cr_assert_eq(outbox_store_accept(&store, &submit, NULL, now_ms, &receipt), 0);
    return receipt;
}

static inline Valvechain__V1__OutboxReceipt accept(struct submission what, uint64_t now_ms)
{
    cr_assert_eq(outbox_store_begin(&store), 0);
    Valvechain__V1__OutboxReceipt receipt = accept_within(what, now_ms);
    cr_assert_eq(outbox_store_commit(&store), 0);
    return receipt;
}

static inline void free_member(void *message, void *member)
{
    if (member != message)
        free(member);
}
static inline void receipt_free(Valvechain__V1__OutboxReceipt *receipt)
{
    ProtobufCAllocator allocator = {.free = free_member, .allocator_data = receipt};
    protobuf_c_message_free_unpacked(&receipt->base, &allocator);
}

// The receipt's status; frees it.
static inline unsigned accept_status(struct submission what, uint64_t now_ms)
{
    Valvechain__V1__OutboxReceipt receipt = accept(what, now_ms);
    unsigned status = receipt.status;
    receipt_free(&receipt);
    return status;
}

// 0 and the body of what was claimed, or -ENODATA. To be freed with outbox_call_fini.
static inline int claim(uint64_t now_ms, struct outbox_call *call)
{
    cr_assert_eq(outbox_store_begin(&store), 0);
    int rc = outbox_store_claim(&store, "sink", now_ms, call);
    cr_assert_eq(outbox_store_commit(&store), 0);
    return rc;
}

static inline void settle(int64_t seq, struct outbox_verdict verdict, uint64_t now_ms)
{
    cr_assert_eq(outbox_store_begin(&store), 0);
    cr_assert_eq(outbox_store_settle(&store, seq, &verdict, now_ms), 0);
    cr_assert_eq(outbox_store_commit(&store), 0);
}

static inline uint64_t count(enum outbox_state state)
{
    struct outbox_figures *figures = outbox_store_figures(&store, "sink");
    return figures != NULL ? figures->items[state] : 0;
}

#endif
