#include "libvalvechain/valvechain.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "breaker/breaker.h"
#include "libvalvechain/attachments.h"
#include "metric/database_metrics.h"

#define SLOTS_OF_THE_SUITE                                                                         \
    8 // never taken by applications, so that they cannot keep it from starting
#define APPLICATION_MAX 19
#define PERMIT_GIVEN    UINT64_C(0x76616c7665676976) // marks of a permit that is one
#define PERMIT_USED     UINT64_C(0x76616c7665757364)

struct valvechain {
    struct attachment attachment; // first: see attachments.h
    pthread_mutex_t mutex;
    struct slot *slot;
    struct breaker_view *view;
    struct metric_set *metrics;
    struct database_metrics database;
    uint64_t database_calls; // under way
};

struct permit {
    uint64_t mark;
    struct breaker_permit permit;
    uint64_t is_database;
};
_Static_assert(sizeof(struct permit) <= sizeof(struct valvechain_permit), "a permit fits");
_Static_assert((int)VALVECHAIN_SUCCESS == (int)BREAKER_SUCCESS &&
                   (int)VALVECHAIN_FAILURE == (int)BREAKER_FAILURE &&
                   (int)VALVECHAIN_TIMEOUT == (int)BREAKER_TIMEOUT &&
                   (int)VALVECHAIN_IGNORED == (int)BREAKER_IGNORED,
               "one set of outcomes");

// ---- attaching ------------------------------------------------------------------------------

static const char *environment(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : otherwise;
}

static int join(struct valvechain *handle, char reason[SEGMENT_REASON_MAX])
{
    const struct segment_section_spec sections[] = {slot_section_spec(), slot_values_section_spec(),
                                                    breaker_state_section_spec(),
                                                    breaker_window_section_spec()};
    const struct segment_options options = {.dir = environment("SHM_DIR", "/dev/shm"),
                                            .name = environment("VALVECHAIN_NAME", "valvechain"),
                                            .sections = sections,
                                            .n_sections = sizeof(sections) / sizeof(sections[0])};
    return segment_join(&options, reason, &handle->attachment.segment);
}

static bool is_application_name(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && len <= APPLICATION_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

// Whoever lives under this name and number, but in that slot; UINT32_MAX: nobody.
static uint32_t find_living(const struct segment *segment, const char *name, const char *number,
                            uint32_t but)
{
    struct slot_info info;
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        if (i != but && slot_read(segment, i, &info) && info.alive &&
            strcmp(info.name, name) == 0 && strcmp(info.instance, number) == 0)
            return i;
    return UINT32_MAX;
}

static uint32_t count_living(const struct segment *segment)
{
    struct slot_info info;
    uint32_t n = 0;
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        n += slot_read(segment, i, &info) && info.alive;
    return n;
}

// The first number that nobody lives under: who starts again takes its dead predecessor's slot, and
// its figures go on. Of two that start at once under one number the one further back tries again.
static int take_slot(struct valvechain *handle, const char *application)
{
    const struct segment *segment = handle->attachment.segment;
    char name[SLOT_NAME_MAX], number[SLOT_INSTANCE_MAX];
    snprintf(name, sizeof(name), "app-%.*s", APPLICATION_MAX, application);
    for (unsigned i = 1; i <= SLOT_COUNT; i++) {
        snprintf(number, sizeof(number), "%u", i);
        if (find_living(segment, name, number, UINT32_MAX) != UINT32_MAX)
            continue;
        if (count_living(segment) >= SLOT_COUNT - SLOTS_OF_THE_SUITE)
            return -ENOSPC;
        int r = slot_acquire(handle->attachment.segment, name, number, &handle->slot);
        if (r < 0)
            return r;
        uint32_t own = slot_index(handle->slot);
        if (find_living(segment, name, number, own) > own)
            return 0;
        slot_release(&handle->slot);
    }
    return -ENOSPC;
}

static int start(struct valvechain *handle, const char *application,
                 char reason[SEGMENT_REASON_MAX])
{
    int r = join(handle, reason);
    if (r == 0)
        r = take_slot(handle, application);
    if (r == -ENOSPC)
        snprintf(reason, SEGMENT_REASON_MAX,
                 "%.200s: no process slot is left for an application: %d of %d are for the suite "
                 "itself",
                 segment_path(handle->attachment.segment), SLOTS_OF_THE_SUITE, SLOT_COUNT);
    if (r == 0)
        r = metric_set_open(handle->slot, &handle->metrics);
    if (r == 0)
        r = breaker_attach(handle->attachment.segment, handle->slot, &handle->view);
    if (r == 0)
        r = attachment_add(&handle->attachment);
    if (r < 0)
        return r;
    handle->database = database_metrics_open(handle->metrics);
    slot_set_ready(handle->slot, true);
    return 0;
}

static void stop(struct valvechain *handle)
{
    breaker_detach(&handle->view);
    metric_set_close(&handle->metrics);
    slot_release(&handle->slot);
    segment_close(&handle->attachment.segment);
    pthread_mutex_destroy(&handle->mutex);
    free(handle);
}

int valvechain_attach(const char *application, char *ret_reason, size_t reason_bytes,
                      struct valvechain **ret_handle)
{
    char reason[SEGMENT_REASON_MAX] = "";
    struct valvechain *handle = NULL;
    int r = -EINVAL;
    if (application == NULL || !is_application_name(application)) {
        snprintf(reason, sizeof(reason),
                 "'%.40s' is no application's name: 1 to %d of a-z, 0-9 "
                 "and '-'",
                 application != NULL ? application : "", APPLICATION_MAX);
    } else if ((handle = calloc(1, sizeof(*handle))) == NULL) {
        r = -ENOMEM;
    } else {
        pthread_mutex_init(&handle->mutex, NULL);
        r = start(handle, application, reason);
    }
    if (r == 0) {
        *ret_handle = handle;
        return 0;
    }
    if (reason[0] == '\0')
        snprintf(reason, sizeof(reason), "the suite cannot be attached to: %s", strerror(-r));
    if (ret_reason != NULL && reason_bytes > 0)
        snprintf(ret_reason, reason_bytes, "%s", reason);
    if (handle != NULL)
        stop(handle);
    return r;
}

void valvechain_detach(struct valvechain **handle)
{
    struct valvechain *old = *handle;
    *handle = NULL;
    if (old == NULL || attachment_is_parents(&old->attachment))
        return;
    attachment_remove(&old->attachment);
    stop(old);
}

// ---- calls ----------------------------------------------------------------------------------

// The handle's mutex is held and its process has given a sign of life; else -ECHILD.
static int enter(struct valvechain *handle, uint64_t *ret_now_ns)
{
    if (attachment_is_parents(&handle->attachment))
        return -ECHILD;
    pthread_mutex_lock(&handle->mutex);
    *ret_now_ns = clock_mono_ns();
    slot_heartbeat(handle->slot, *ret_now_ns);
    return 0;
}

static int error_of(enum breaker_grant grant)
{
    switch (grant) {
    case BREAKER_REFUSED_OPEN:
        return -EHOSTDOWN;
    case BREAKER_REFUSED_CAPACITY:
        return -EBUSY;
    case BREAKER_REFUSED_RAMP:
        return -EAGAIN;
    case BREAKER_REFUSED_FORCED:
        return -ESHUTDOWN;
    case BREAKER_GRANTED:
    case BREAKER_GRANTED_PROBE:
        break;
    }
    return 0;
}

static void count_database(struct valvechain *handle, int change)
{
    handle->database_calls += (uint64_t)change;
    database_metrics_connections(&handle->database, handle->database_calls);
}

int valvechain_acquire(struct valvechain *handle, const char *breaker,
                       struct valvechain_permit *ret_permit, uint64_t *ret_retry_after_ms)
{
    uint64_t now_ns, retry_ns = 0;
    int r = enter(handle, &now_ns);
    if (r < 0)
        return r;
    struct permit permit = {.mark = PERMIT_GIVEN,
                            .is_database = strcmp(breaker, DATABASE_BREAKER) == 0};
    int index = r = breaker_find(handle->view, breaker);
    if (index >= 0)
        r = error_of(
            breaker_acquire(handle->view, (uint32_t)index, now_ns, &permit.permit, &retry_ns));
    if (r == 0 && permit.is_database)
        count_database(handle, 1);
    pthread_mutex_unlock(&handle->mutex);
    if (r == 0)
        memcpy(ret_permit, &permit, sizeof(permit));
    else if (index >= 0 && ret_retry_after_ms != NULL)
        *ret_retry_after_ms = (retry_ns + NS_PER_MS - 1) / NS_PER_MS;
    return r;
}

int valvechain_report(struct valvechain *handle, struct valvechain_permit *permit,
                      enum valvechain_outcome outcome, uint64_t duration_ns)
{
    uint64_t now_ns;
    struct permit held;
    memcpy(&held, permit, sizeof(held));
    if (held.mark == PERMIT_USED)
        return -EALREADY;
    if (held.mark != PERMIT_GIVEN || (unsigned)outcome > VALVECHAIN_IGNORED)
        return -EINVAL;
    int r = enter(handle, &now_ns);
    if (r < 0)
        return r;
    if (duration_ns > 0 && duration_ns < now_ns)
        held.permit.start_ns = now_ns - duration_ns;
    uint64_t took_ns = now_ns > held.permit.start_ns ? now_ns - held.permit.start_ns : 0;
    (void)breaker_report(handle->view, &held.permit, (enum breaker_outcome)outcome, now_ns);
    if (held.is_database) {
        count_database(handle, -1);
        if (outcome != VALVECHAIN_IGNORED)
            database_metrics_observe(&handle->database, took_ns);
    }
    pthread_mutex_unlock(&handle->mutex);
    permit->opaque[0] = PERMIT_USED;
    return 0;
}

int valvechain_alive(struct valvechain *handle)
{
    uint64_t now_ns;
    int r = enter(handle, &now_ns);
    if (r < 0)
        return r;
    pthread_mutex_unlock(&handle->mutex);
    return segment_is_named(handle->attachment.segment) ? 0 : -ESTALE;
}

const char *valvechain_refusal(int error)
{
    return error == -EHOSTDOWN   ? "open"
           : error == -EBUSY     ? "capacity"
           : error == -EAGAIN    ? "ramp"
           : error == -ESHUTDOWN ? "forced"
                                 : NULL;
}

const char *valvechain_version(void)
{
    return VALVECHAIN_VERSION;
}
