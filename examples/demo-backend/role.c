#include "role.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BODY_MAX_BYTES (1u << 20)

const char *const role_mode_names[ROLE_MODES] = {"ok", "slow", "fail", "gone"};

enum MHD_Result call_answer_bytes(const struct call *call, unsigned status,
                                  const char *content_type, const void *data, size_t len)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(len, (void *)(uintptr_t)data, MHD_RESPMEM_MUST_COPY);
    if (response == NULL)
        return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
    enum MHD_Result result = MHD_queue_response(call->connection, status, response);
    MHD_destroy_response(response);
    return result;
}

enum MHD_Result call_answer(const struct call *call, unsigned status, const char *content_type,
                            const char *text)
{
    return call_answer_bytes(call, status, content_type, text, strlen(text));
}

// Waits out the delay of `slow`, or until the mode changes, and says what mode then holds.
static enum role_mode wait_turn(struct role *role)
{
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    pthread_mutex_lock(&role->mutex);
    role->requests++;
    end.tv_sec += (time_t)(role->delay_ms / 1000);
    end.tv_nsec += (long)(role->delay_ms % 1000) * 1000000L;
    if (end.tv_nsec >= 1000000000L) {
        end.tv_sec++;
        end.tv_nsec -= 1000000000L;
    }
    while (role->mode == ROLE_SLOW &&
           pthread_cond_timedwait(&role->changed, &role->mutex, &end) != ETIMEDOUT)
        ;
    enum role_mode mode = role->mode;
    pthread_mutex_unlock(&role->mutex);
    return mode;
}

static enum MHD_Result answer_call(struct role *role, const struct call *call)
{
    if (call->too_large)
        return call_answer(call, 413, "text/plain", "The demo takes at most 1 MiB.\n");
    if (!role->always_ok && wait_turn(role) == ROLE_FAIL)
        return call_answer(call, 500, "application/json",
                           "{\"error\":\"told to fail by its knob\"}\n");
    return role->answer(role, call);
}

static enum MHD_Result take_request(void *arg, struct MHD_Connection *connection, const char *path,
                                    const char *method, const char *version, const char *data,
                                    size_t *data_len, void **state)
{
    (void)version;
    struct call *call = *state;
    if (call == NULL) {
        *state = call = calloc(1, sizeof(*call));
        return call == NULL ? MHD_NO : MHD_YES;
    }
    if (*data_len > 0) {
        if (call->body_len + *data_len > BODY_MAX_BYTES) {
            call->too_large = true;
        } else {
            char *grown = realloc(call->body, call->body_len + *data_len + 1);
            if (grown == NULL)
                return MHD_NO;
            memcpy(grown + call->body_len, data, *data_len);
            call->body = grown;
            call->body_len += *data_len;
            call->body[call->body_len] = '\0';
        }
        *data_len = 0;
        return MHD_YES;
    }
    call->connection = connection;
    call->method = method;
    call->path = path;
    return answer_call(arg, call);
}

static void end_request(void *arg, struct MHD_Connection *connection, void **state,
                        enum MHD_RequestTerminationCode why)
{
    (void)arg;
    (void)connection;
    (void)why;
    struct call *call = *state;
    if (call == NULL)
        return;
    free(call->body);
    free(call);
    *state = NULL;
}

static int open_port(struct role *role)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(role->port),
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    errno = 0;
    role->daemon =
        MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION |
                             MHD_USE_POLL | MHD_USE_ITC,
                         role->port, NULL, NULL, take_request, role, MHD_OPTION_SOCK_ADDR, &address,
                         MHD_OPTION_NOTIFY_COMPLETED, end_request, NULL, MHD_OPTION_END);
    if (role->daemon == NULL)
        return errno != 0 ? -errno : -EADDRINUSE;
    if (role->port == 0) // the kernel chose; a port that was gone comes back as the same one
        role->port = MHD_get_daemon_info(role->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
    return 0;
}

int role_init(struct role *role)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&role->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&role->mutex, NULL);
    return open_port(role);
}

void role_fini(struct role *role)
{
    role_set_mode(role, ROLE_GONE, 0);
    pthread_cond_destroy(&role->changed);
    pthread_mutex_destroy(&role->mutex);
}

int role_set_mode(struct role *role, enum role_mode mode, uint64_t delay_ms)
{
    pthread_mutex_lock(&role->mutex);
    role->mode = mode;
    role->delay_ms = delay_ms;
    pthread_cond_broadcast(&role->changed);
    pthread_mutex_unlock(&role->mutex);
    // Outside the mutex: stopping waits for the connections' threads, which take it.
    if (mode == ROLE_GONE && role->daemon != NULL) {
        MHD_stop_daemon(role->daemon);
        role->daemon = NULL;
    } else if (mode != ROLE_GONE && role->daemon == NULL) {
        return open_port(role);
    }
    return 0;
}
