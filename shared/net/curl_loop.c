#include "net/curl_loop.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"

#define EASY_KEPT_MAX 32

struct watch { // a socket of libcurl's
    uv_poll_t poll;
    curl_socket_t fd;
    int events; // what libcurl waits for
    struct curl_loop *loop;
};
struct curl_loop {
    uv_loop_t *uv;
    CURLM *multi;
    uv_timer_t timer;
    struct curl_call *calls;
    struct curl_call *moved;   // to be told so
    CURL *easy[EASY_KEPT_MAX]; // in no call
    unsigned n_easy;
    bool closing;
};

static void on_timer(uv_timer_t *timer);

static void unlink_call(struct curl_call *call)
{
    struct curl_loop *loop = call->loop;
    *(call->previous != NULL ? &call->previous->next : &loop->calls) = call->next;
    if (call->next != NULL)
        call->next->previous = call->previous;
    for (struct curl_call **link = &loop->moved; *link != NULL; link = &(*link)->next_moved) {
        if (*link == call) {
            *link = call->next_moved;
            break;
        }
    }
    call->moved = false;
    call->loop = NULL;
    call->next = call->previous = call->next_moved = NULL;
}

static void end_call(struct curl_call *call, CURLcode code)
{
    curl_multi_remove_handle(call->loop->multi, call->easy);
    unlink_call(call);
    call->on_done(call, code);
}

static void tell_moved(struct curl_loop *loop)
{
    struct curl_call *call;
    while ((call = loop->moved) != NULL) {
        loop->moved = call->next_moved;
        call->next_moved = NULL;
        call->moved = false;
        call->on_moved(call);
    }
}

// What libcurl has done is told in its order: first what came, then what ended.
static void collect(struct curl_loop *loop)
{
    CURLMsg *message;
    int left;
    tell_moved(loop);
    while ((message = curl_multi_info_read(loop->multi, &left)) != NULL) {
        struct curl_call *call = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
        end_call(call, code);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    struct curl_loop *loop = watch->loop;
    int running, flags = 0;
    if (status < 0) {
        // libuv has stopped the handle. What came before the error is still to be read, and the
        // error comes with it: CURL_CSELECT_ERR would end the call at once.
        events = watch->events;
        uv_poll_start(&watch->poll, events, on_poll);
    }
    flags |= (events & UV_READABLE) != 0 ? CURL_CSELECT_IN : 0;
    flags |= (events & UV_WRITABLE) != 0 ? CURL_CSELECT_OUT : 0;
    curl_multi_socket_action(loop->multi, watch->fd, flags, &running);
    collect(loop);
}

static void on_timer(uv_timer_t *timer)
{
    struct curl_loop *loop = timer->data;
    int running;
    curl_multi_socket_action(loop->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect(loop);
}

static int set_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct curl_loop *loop = arg;
    (void)multi;
    if (loop->closing || timeout_ms < 0)
        uv_timer_stop(&loop->timer);
    else // also 0 by the loop: libcurl must not be called from here
        uv_timer_start(&loop->timer, on_timer, (uint64_t)timeout_ms, 0);
    return 0;
}

static void free_watch(uv_handle_t *handle)
{
    free(handle->data);
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct curl_loop *loop = arg;
    struct watch *watch = socket_arg;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watch != NULL)
            uv_close((uv_handle_t *)&watch->poll, free_watch);
        curl_multi_assign(loop->multi, fd, NULL);
        return 0;
    }
    if (watch == NULL) {
        watch = calloc(1, sizeof(*watch));
        if (watch == NULL)
            return -1;
        watch->fd = fd;
        watch->loop = loop;
        watch->poll.data = watch;
        if (uv_poll_init_socket(loop->uv, &watch->poll, fd) < 0) {
            free(watch);
            return -1;
        }
        curl_multi_assign(loop->multi, fd, watch);
    }
    watch->events = (what & CURL_POLL_IN) != 0 ? UV_READABLE : 0;
    watch->events |= (what & CURL_POLL_OUT) != 0 ? UV_WRITABLE : 0;
    uv_poll_start(&watch->poll, watch->events, on_poll);
    return 0;
}

int curl_loop_create(uv_loop_t *uv, struct curl_loop **ret_loop)
{
    struct curl_loop *loop = calloc(1, sizeof(*loop));
    if (loop == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(loop);
        return -ENOMEM;
    }
    loop->uv = uv;
    loop->multi = curl_multi_init();
    if (loop->multi == NULL) {
        curl_global_cleanup();
        free(loop);
        return -ENOMEM;
    }
    uv_timer_init(uv, &loop->timer);
    loop->timer.data = loop;
    // One call at a time on a connection, with HTTP/2 as well: libcurl 7.88 stops a connection
    // while one of its calls is paused, and a slow client would hold up the others.
    curl_multi_setopt(loop->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETFUNCTION, set_socket);
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETDATA, loop);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERDATA, loop);
    *ret_loop = loop;
    return 0;
}

static void free_loop(uv_handle_t *handle)
{
    free(handle->data);
}

void curl_loop_destroy(struct curl_loop **loop_p)
{
    struct curl_loop *loop = *loop_p;
    *loop_p = NULL;
    if (loop == NULL)
        return;
    while (loop->calls != NULL)
        end_call(loop->calls, CURLE_ABORTED_BY_CALLBACK);
    while (loop->n_easy > 0)
        curl_easy_cleanup(loop->easy[--loop->n_easy]);
    loop->closing = true; // libcurl still sets its timer while it cleans up
    curl_multi_cleanup(loop->multi);
    uv_close((uv_handle_t *)&loop->timer, free_loop);
    curl_global_cleanup();
}

CURL *curl_loop_get_easy(struct curl_loop *loop)
{
    return loop->n_easy > 0 ? loop->easy[--loop->n_easy] : curl_easy_init();
}

void curl_loop_put_easy(struct curl_loop *loop, CURL *easy)
{
    if (easy == NULL)
        return;
    if (loop->n_easy == EASY_KEPT_MAX) {
        curl_easy_cleanup(easy);
        return;
    }
    curl_easy_reset(easy);
    loop->easy[loop->n_easy++] = easy;
}

void curl_loop_keep(struct curl_loop *loop, unsigned connections)
{
    curl_multi_setopt(loop->multi, CURLMOPT_MAXCONNECTS, (long)connections);
}

int curl_loop_add(struct curl_loop *loop, struct curl_call *call)
{
    ASSERT(call->loop == NULL);
    curl_easy_setopt(call->easy, CURLOPT_PRIVATE, call);
    if (curl_multi_add_handle(loop->multi, call->easy) != CURLM_OK)
        return -ENOMEM;
    call->loop = loop;
    call->previous = NULL;
    call->next = loop->calls;
    if (call->next != NULL)
        call->next->previous = call;
    loop->calls = call;
    return 0;
}

void curl_loop_remove(struct curl_call *call)
{
    if (call->loop == NULL)
        return;
    curl_multi_remove_handle(call->loop->multi, call->easy);
    unlink_call(call);
}

void curl_call_mark(struct curl_call *call)
{
    struct curl_loop *loop = call->loop;
    if (loop == NULL || call->moved || call->on_moved == NULL)
        return;
    call->moved = true;
    call->next_moved = loop->moved;
    loop->moved = call;
}

void curl_call_pause(struct curl_call *call, int bits)
{
    curl_easy_pause(call->easy, bits);
    // It may have called back at once; what that marked is told in the next turn.
    if (call->loop != NULL && call->loop->moved != NULL)
        uv_timer_start(&call->loop->timer, on_timer, 0, 0);
}
