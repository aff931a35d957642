// The link's life is a row of stages; whatever goes wrong in one of them ends in fail(), which
// drops the connection and sets the instant of the next try. A tick looks at deadlines.
#include "redis_link.h"

#include <errno.h>
#include <hiredis/async.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "net/pool.h"
#include "redis_uv.h"

#define TICK_MS        25
#define PAUSE_MIN_MS   50
#define PAUSE_MAX_MS   3000
#define CONNECT_FACTOR 4
#define WHY_MAX        320
#define SHA_HEX        40

enum stage { PAUSED, RESOLVING, CONNECTING, GREETING, UP };

struct command { // sent and not answered; replies come in order
    struct redis_link *link;
    redis_reply_fn *on_reply;
    void *arg;
    uint64_t sent_ns;
    struct command *next;
};

struct redis_link {
    uv_loop_t *loop;
    struct redis_link_options options;
    uv_timer_t tick;
    enum stage stage;
    bool to_sentinel; // the connection is to a Sentinel
    bool closing;
    unsigned open; // timer and resolver: freed with the last
    redisAsyncContext *context;
    uv_getaddrinfo_t resolver;
    struct redis_host target; // of this try
    size_t next_sentinel;
    uint64_t deadline_ms; // of a stage before UP; PAUSED: the next try
    unsigned failures;    // in a row
    struct command *oldest, **newest;
    uint64_t answered_ns;
    char sha[SHA_HEX + 1];
};

static uint64_t now_ms(const struct redis_link *link)
{
    return uv_now(link->loop);
}

bool redis_link_is_up(const struct redis_link *link)
{
    return link->stage == UP;
}

bool redis_link_is_fresh(const struct redis_link *link)
{
    return link->stage == UP &&
           clock_mono_ns() - link->answered_ns < 4 * link->options.timeout_ms * NS_PER_MS;
}

const char *redis_link_script(const struct redis_link *link)
{
    return link->sha;
}

// ---- going down ------------------------------------------------------------------------------

// Full jitter: many limiters that lost one server do not come back at one instant.
static uint64_t pause_ms(struct redis_link *link)
{
    unsigned shift = link->failures < 6 ? link->failures : 6;
    uint64_t most = (uint64_t)PAUSE_MIN_MS << shift, random;
    most = most < PAUSE_MAX_MS ? most : PAUSE_MAX_MS;
    if (uv_random(NULL, NULL, &random, sizeof(random), 0, NULL) < 0) {
        random = clock_mono_ns();
    }
    return 1 + random % most;
}

// The context's open commands get their NULL reply in here.
static void drop_connection(struct redis_link *link)
{
    redisAsyncContext *context = link->context;
    link->context = NULL;
    if (context) {
        context->data = NULL;
        redisAsyncFree(context);
    }
}

static void pause_link(struct redis_link *link)
{
    link->stage = PAUSED;
    link->deadline_ms = now_ms(link) + pause_ms(link);
    link->failures++;
    drop_connection(link);
}

void redis_link_fail(struct redis_link *link, const char *why)
{
    if (link->stage == PAUSED || link->closing) {
        return;
    }
    char text[WHY_MAX]; // `why` may lie in the context
    (void)snprintf(text, sizeof(text), "%s %s:%u: %s", link->to_sentinel ? "Sentinel" : "Redis",
                   link->target.name, link->target.port, why);
    pause_link(link);
    link->options.on_state(link->options.arg, false, text);
}

// ---- commands --------------------------------------------------------------------------------

static void on_reply(redisAsyncContext *context, void *bytes, void *arg)
{
    struct command *command = arg;
    struct redis_link *link = command->link;
    (void)context;
    // hiredis answers in order, so this is the oldest.
    link->oldest = command->next;
    if (!link->oldest) {
        link->newest = &link->oldest;
    }
    if (bytes) {
        uint64_t now_ns = clock_mono_ns();
        link->answered_ns = now_ns;
        if (link->stage == UP) {
            link->options.on_command(link->options.arg, now_ns - command->sent_ns);
        }
    }
    command->on_reply(command->arg, bytes);
    free(command);
}

static int send_now(struct redis_link *link, int argc, const char **argv, redis_reply_fn *on_reply_,
                    void *arg)
{
    struct command *command = calloc(1, sizeof(*command));
    if (!command) {
        return -ENOMEM;
    }
    command->link = link;
    command->on_reply = on_reply_;
    command->arg = arg;
    command->sent_ns = clock_mono_ns();
    if (redisAsyncCommandArgv(link->context, on_reply, command, argc, argv, NULL) != REDIS_OK) {
        free(command);
        return -ENOTCONN;
    }
    *link->newest = command;
    link->newest = &command->next;
    return 0;
}

int redis_link_send(struct redis_link *link, int argc, const char **argv, redis_reply_fn *on_reply_,
                    void *arg)
{
    return link->stage == UP ? send_now(link, argc, argv, on_reply_, arg) : -ENOTCONN;
}

// ---- greeting --------------------------------------------------------------------------------

static void connect_to(struct redis_link *link, const struct redis_host *host, bool to_sentinel);

static bool failed(struct redis_link *link, const redisReply *reply)
{
    if (!reply) { // the connection went; whoever dropped it has said why
        return true;
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        redis_link_fail(link, reply->str);
        return true;
    }
    return false;
}

static void greeted(void *arg, const redisReply *reply)
{
    (void)failed(arg, reply);
}

static void told_role(void *arg, const redisReply *reply)
{
    struct redis_link *link = arg;
    if (failed(link, reply)) {
        return;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0 ||
        reply->element[0]->type != REDIS_REPLY_STRING ||
        strcmp(reply->element[0]->str, "master") != 0) {
        redis_link_fail(link, "it is no master (a replica, or a Sentinel)");
    }
}

static void loaded_script(void *arg, const redisReply *reply)
{
    struct redis_link *link = arg;
    if (failed(link, reply)) {
        return;
    }
    if (reply->type != REDIS_REPLY_STRING || reply->len != SHA_HEX) {
        redis_link_fail(link, "its answer to SCRIPT LOAD is none");
        return;
    }
    memcpy(link->sha, reply->str, SHA_HEX);
    link->stage = UP;
    link->failures = 0;
    link->options.on_state(link->options.arg, true, "");
}

// Commands after one that failed find no connection any more.
static void greet(struct redis_link *link, int argc, const char **argv, redis_reply_fn *fn)
{
    if (link->stage == GREETING && send_now(link, argc, argv, fn, link) < 0) {
        redis_link_fail(link, "it takes no commands");
    }
}

static void greet_server(struct redis_link *link)
{
    const struct redis_place *place = &link->options.place;
    char db[16];
    (void)snprintf(db, sizeof(db), "%u", place->db);
    if (place->password[0] && place->user[0]) {
        greet(link, 3, (const char *[]){"AUTH", place->user, place->password}, greeted);
    } else if (place->password[0]) {
        greet(link, 2, (const char *[]){"AUTH", place->password}, greeted);
    }
    greet(link, 2, (const char *[]){"SELECT", db}, greeted);
    greet(link, 1, (const char *[]){"ROLE"}, told_role);
    greet(link, 3, (const char *[]){"SCRIPT", "LOAD", link->options.script}, loaded_script);
}

static void told_master(void *arg, const redisReply *reply)
{
    struct redis_link *link = arg;
    if (failed(link, reply)) {
        return;
    }
    struct redis_host master = {0};
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 && reply->element[0]->str &&
        reply->element[1]->str) {
        (void)snprintf(master.name, sizeof(master.name), "%s", reply->element[0]->str);
        master.port = (uint16_t)strtoul(reply->element[1]->str, NULL, 10);
    }
    if (!master.name[0] || master.port == 0) {
        redis_link_fail(link, "it knows no master of that name");
        return;
    }
    drop_connection(link);
    connect_to(link, &master, false);
}

static void greet_sentinel(struct redis_link *link)
{
    const struct redis_place *place = &link->options.place;
    if (place->sentinel_password[0]) {
        greet(link, 2, (const char *[]){"AUTH", place->sentinel_password}, greeted);
    }
    greet(link, 3, (const char *[]){"SENTINEL", "get-master-addr-by-name", place->master},
          told_master);
}

// ---- connecting ------------------------------------------------------------------------------

static void on_connect(const redisAsyncContext *context, int status)
{
    struct redis_link *link = context->data;
    if (!link) {
        return;
    }
    if (status != REDIS_OK) { // hiredis frees the context by itself
        link->context = NULL;
        redis_link_fail(link, context->errstr);
        return;
    }
    link->stage = GREETING;
    if (link->to_sentinel) {
        greet_sentinel(link);
    } else {
        greet_server(link);
    }
}

static void on_disconnect(const redisAsyncContext *context, int status)
{
    struct redis_link *link = context->data;
    if (!link) {
        return;
    }
    link->context = NULL; // hiredis frees it by itself
    redis_link_fail(link, status == REDIS_OK ? "closed" : context->errstr);
}

static void connect_address(struct redis_link *link, const char *address)
{
    redisAsyncContext *context = redisAsyncConnect(address, link->target.port);
    if (!context || context->err) {
        char why[WHY_MAX];
        (void)snprintf(why, sizeof(why), "%s", context ? context->errstr : "out of memory");
        if (context) {
            redisAsyncFree(context);
        }
        redis_link_fail(link, why);
        return;
    }
    link->context = context;
    link->stage = CONNECTING;
    context->data = link;
    if (redis_uv_attach(context, link->loop) < 0) {
        redis_link_fail(link, "its socket cannot be watched");
        return;
    }
    redisAsyncSetDisconnectCallback(context, on_disconnect);
    redisAsyncSetConnectCallback(context, on_connect);
}

static void free_closed(struct redis_link *link)
{
    if (--link->open == 0) {
        free(link);
    }
}

static void on_resolved(uv_getaddrinfo_t *resolver, int status, struct addrinfo *found)
{
    struct redis_link *link = resolver->data;
    char address[64] = "";
    int r = status;
    if (r == 0 && found) {
        r = found->ai_family == AF_INET
                ? uv_ip4_name((const void *)found->ai_addr, address, sizeof(address))
                : uv_ip6_name((const void *)found->ai_addr, address, sizeof(address));
    }
    uv_freeaddrinfo(found);
    if (!link->closing && link->stage == RESOLVING) {
        if (r < 0 || !address[0]) {
            redis_link_fail(link, r < 0 ? uv_strerror(r) : "its name has no address");
        } else {
            connect_address(link, address);
        }
    }
    resolver->data = NULL;
    free_closed(link);
}

static void connect_to(struct redis_link *link, const struct redis_host *host, bool to_sentinel)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    link->target = *host;
    link->to_sentinel = to_sentinel;
    link->stage = RESOLVING;
    link->deadline_ms = now_ms(link) + CONNECT_FACTOR * link->options.timeout_ms;
    if (link->resolver.data) { // an earlier answer is still on its way
        redis_link_fail(link, "its name does not resolve in time");
        return;
    }
    link->resolver.data = link;
    link->open++;
    int r = name_lookup(link->loop, &link->resolver, on_resolved, link->target.name, NULL, &hints);
    if (r < 0) {
        link->resolver.data = NULL;
        link->open--;
        redis_link_fail(link, uv_strerror(r));
    }
}

static void connect_again(struct redis_link *link)
{
    const struct redis_place *place = &link->options.place;
    if (place->master[0]) {
        connect_to(link, &place->hosts[link->next_sentinel++ % place->n_hosts], true);
    } else {
        connect_to(link, &place->hosts[0], false);
    }
}

// ---- life ------------------------------------------------------------------------------------

static void ponged(void *arg, const redisReply *reply)
{
    (void)failed(arg, reply);
}

static void on_tick(uv_timer_t *timer)
{
    struct redis_link *link = timer->data;
    uint64_t timeout_ns = link->options.timeout_ms * NS_PER_MS, now_ns = clock_mono_ns();
    if (link->stage == PAUSED) {
        if (now_ms(link) >= link->deadline_ms) {
            connect_again(link);
        }
    } else if (link->stage != UP) {
        if (now_ms(link) >= link->deadline_ms) {
            redis_link_fail(link, "it does not answer in time");
        }
    } else if (link->oldest) {
        if (now_ns - link->oldest->sent_ns > timeout_ns) {
            redis_link_fail(link, "a command was not answered within REDIS_TIMEOUT");
        }
    } else if (now_ns - link->answered_ns > timeout_ns) {
        if (send_now(link, 1, (const char *[]){"PING"}, ponged, link) < 0) {
            redis_link_fail(link, "it takes no commands");
        }
    }
}

int redis_link_create(uv_loop_t *loop, const struct redis_link_options *options,
                      struct redis_link **ret_link)
{
    struct redis_link *link = calloc(1, sizeof(*link));
    if (!link) {
        return -ENOMEM;
    }
    link->loop = loop;
    link->options = *options;
    link->newest = &link->oldest;
    link->open = 1;
    uv_timer_init(loop, &link->tick);
    link->tick.data = link;
    uv_timer_start(&link->tick, on_tick, 0, TICK_MS);
    *ret_link = link;
    return 0;
}

static void tick_closed(uv_handle_t *handle)
{
    free_closed(handle->data);
}

void redis_link_destroy(struct redis_link **link_pointer)
{
    struct redis_link *link = *link_pointer;
    *link_pointer = NULL;
    if (!link) {
        return;
    }
    link->closing = true;
    link->stage = PAUSED;
    drop_connection(link);
    (void)uv_cancel((uv_req_t *)&link->resolver);
    uv_close((uv_handle_t *)&link->tick, tick_closed);
}
