#include "redis_uv.h"

#include <errno.h>
#include <stdlib.h>

struct watch {
    uv_poll_t poll;
    redisAsyncContext *context; // NULL: gone
    int events;
};

static void polled(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    if (status < 0) {
        events = UV_READABLE; // reading finds the error
    }
    if (watch->context && (events & UV_READABLE)) {
        redisAsyncHandleRead(watch->context);
    }
    if (watch->context && (events & UV_WRITABLE)) { // reading may have freed it
        redisAsyncHandleWrite(watch->context);
    }
}

static void watch_events(struct watch *watch, int events)
{
    if (events == watch->events) {
        return;
    }
    watch->events = events;
    if (events) {
        (void)uv_poll_start(&watch->poll, events, polled);
    } else {
        (void)uv_poll_stop(&watch->poll);
    }
}

static void add_read(void *arg)
{
    struct watch *watch = arg;
    watch_events(watch, watch->events | UV_READABLE);
}
static void del_read(void *arg)
{
    struct watch *watch = arg;
    watch_events(watch, watch->events & ~UV_READABLE);
}
static void add_write(void *arg)
{
    struct watch *watch = arg;
    watch_events(watch, watch->events | UV_WRITABLE);
}
static void del_write(void *arg)
{
    struct watch *watch = arg;
    watch_events(watch, watch->events & ~UV_WRITABLE);
}

static void closed(uv_handle_t *handle)
{
    free(handle->data);
}
static void cleanup(void *arg)
{
    struct watch *watch = arg;
    watch->context = NULL;
    uv_close((uv_handle_t *)&watch->poll, closed);
}

int redis_uv_attach(redisAsyncContext *context, uv_loop_t *loop)
{
    struct watch *watch = calloc(1, sizeof(*watch));
    if (!watch) {
        return -ENOMEM;
    }
    int r = uv_poll_init(loop, &watch->poll, context->c.fd);
    if (r < 0) {
        free(watch);
        return r;
    }
    watch->poll.data = watch;
    watch->context = context;
    context->ev.data = watch;
    context->ev.addRead = add_read;
    context->ev.delRead = del_read;
    context->ev.addWrite = add_write;
    context->ev.delWrite = del_write;
    context->ev.cleanup = cleanup;
    return 0;
}
