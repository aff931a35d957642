#include "lease_order.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"

#define FIXED_ARGS  8
#define ARGS_MAX    (5 + FIXED_ARGS + 2 * LEASE_RETURNS_MAX)
#define NUMBER_MAX  24
#define KEY_MAX     512
#define ANSWER_SIZE 5

const char lease_script_text[] =
#include "lease_script.inc"
    ;

struct run {
    struct redis_link *link;
    lease_order_fn *fn;
    void *arg;
    bool by_text;
    int argc;
    const char *argv[ARGS_MAX];
    char sha[48], keys[2][KEY_MAX];
    char numbers[FIXED_ARGS + 2 * LEASE_RETURNS_MAX][NUMBER_MAX];
};

static void put_number(struct run *run, int *at, uint64_t number)
{
    char *to = run->numbers[(*at)++];
    (void)snprintf(to, NUMBER_MAX, "%" PRIu64, number);
    run->argv[run->argc++] = to;
}

static void put_lease(struct run *run, int *at, uint64_t lease)
{
    char *to = run->numbers[(*at)++];
    (void)snprintf(to, NUMBER_MAX, "%016" PRIx64, lease);
    run->argv[run->argc++] = to;
}

static void put_keys(const struct lease_order *order, char keys[2][KEY_MAX], const char **argv)
{
    for (int i = 0; i < 2; i++) {
        // The braces are Redis Cluster's hash tag: both keys lie in one slot.
        (void)snprintf(keys[i], KEY_MAX, "%s{%s:%" PRIu64 ":%016" PRIx64 "%016" PRIx64 "}:%s",
                       order->prefix, order->policy, (uint64_t)(order->window_ns / NS_PER_MS),
                       order->key_id[0], order->key_id[1], i == 0 ? "ends" : "leases");
        argv[i] = keys[i];
    }
}

static void put_arguments(struct run *run, const struct lease_order *order)
{
    int at = 0;
    put_keys(order, run->keys, &run->argv[3]);
    run->argc = 5;
    put_number(run, &at, order->limit);
    put_number(run, &at, order->window_ns / NS_PER_US);
    put_number(run, &at, order->life_ns / NS_PER_US);
    put_number(run, &at, order->need);
    put_number(run, &at, order->least);
    put_number(run, &at, order->want);
    put_number(run, &at, order->not_after_us);
    put_lease(run, &at, order->lease);
    ASSERT(order->n_returns <= LEASE_RETURNS_MAX);
    for (size_t i = 0; i < order->n_returns; i++) {
        put_lease(run, &at, order->returns[i].lease);
        put_number(run, &at, order->returns[i].tokens);
    }
}

static void on_answer(void *arg, const redisReply *reply);

static int send_run(struct run *run)
{
    (void)snprintf(run->sha, sizeof(run->sha), "%s", redis_link_script(run->link));
    run->argv[0] = run->by_text ? "EVAL" : "EVALSHA";
    run->argv[1] = run->by_text ? lease_script_text : run->sha;
    run->argv[2] = "2";
    return redis_link_send(run->link, run->argc, run->argv, on_answer, run);
}

static void end(struct run *run, const struct lease_word_of_store *word)
{
    run->fn(run->arg, word);
    free(run);
}

static bool read_word(const redisReply *reply, struct lease_word_of_store *ret_word)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != ANSWER_SIZE) {
        return false;
    }
    for (size_t i = 0; i < ANSWER_SIZE; i++) {
        const redisReply *item = reply->element[i];
        bool is_last = i == ANSWER_SIZE - 1;
        if (item->type != (is_last ? REDIS_REPLY_STRING : REDIS_REPLY_INTEGER) ||
            (!is_last && item->integer < 0)) {
            return false;
        }
    }
    *ret_word = (struct lease_word_of_store){
        .granted = (uint64_t)reply->element[0]->integer,
        .left = (uint64_t)reply->element[1]->integer,
        .fits_ns = (uint64_t)reply->element[2]->integer * NS_PER_US,
        .ask_again_ns = (uint64_t)reply->element[3]->integer * NS_PER_US,
        .now_us = strtoull(reply->element[4]->str, NULL, 10),
    };
    return true;
}

static void on_answer(void *arg, const redisReply *reply)
{
    struct run *run = arg;
    struct lease_word_of_store word;
    if (!reply) {
        end(run, NULL);
        return;
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        if (strncmp(reply->str, "NOSCRIPT", strlen("NOSCRIPT")) == 0 && !run->by_text) {
            run->by_text = true; // which also loads it again
            if (send_run(run) == 0) {
                return;
            }
        } else {
            redis_link_fail(run->link, reply->str);
        }
        end(run, NULL);
        return;
    }
    if (!read_word(reply, &word)) {
        redis_link_fail(run->link, "its answer to the lease script is none");
        end(run, NULL);
        return;
    }
    end(run, &word);
}

int lease_order_send(struct redis_link *link, const struct lease_order *order, lease_order_fn *fn,
                     void *arg)
{
    struct run *run = calloc(1, sizeof(*run));
    if (!run) {
        return -ENOMEM;
    }
    run->link = link;
    run->fn = fn;
    run->arg = arg;
    put_arguments(run, order);
    int r = send_run(run);
    if (r < 0) {
        free(run);
    }
    return r;
}

// ---- the end of a key -----------------------------------------------------------------------

struct forgetting {
    struct redis_link *link;
    lease_forgotten_fn *fn;
    void *arg;
};

static void on_forgotten(void *arg, const redisReply *reply)
{
    struct forgetting *forgetting = arg;
    bool forgotten = reply && reply->type == REDIS_REPLY_INTEGER;
    if (reply && reply->type == REDIS_REPLY_ERROR) {
        redis_link_fail(forgetting->link, reply->str); // a replica, for instance
    }
    forgetting->fn(forgetting->arg, forgotten);
    free(forgetting);
}

int lease_order_forget(struct redis_link *link, const struct lease_order *order,
                       lease_forgotten_fn *fn, void *arg)
{
    struct forgetting *forgetting = malloc(sizeof(*forgetting));
    char keys[2][KEY_MAX];
    const char *argv[] = {"DEL", NULL, NULL};
    if (!forgetting) {
        return -ENOMEM;
    }
    *forgetting = (struct forgetting){.link = link, .fn = fn, .arg = arg};
    put_keys(order, keys, &argv[1]);
    int r = redis_link_send(link, 3, argv, on_forgotten, forgetting);
    if (r < 0) {
        free(forgetting);
    }
    return r;
}
