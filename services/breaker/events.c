#include "events.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "reply.h"

struct kept {
    uint64_t sequence, wall_ns; // 0: none
    char breaker[BREAKER_NAME_MAX];
    uint32_t error_threshold_percent, slow_threshold_percent;
    struct breaker_transition transition;
};
struct events {
    struct service *service;
    uint64_t stream, next; // when it began, wall clock; the next number
    struct kept ring[EVENTS_KEPT];
};

static void fill(const struct events *events, const struct kept *kept,
                 Valvechain__V1__Origin *origin, Valvechain__V1__BreakerEvent *event)
{
    const struct breaker_transition *transition = &kept->transition;
    valvechain__v1__breaker_event__init(event);
    bus_origin(events->service->bus, origin);
    origin->wall_ns = kept->wall_ns;
    event->origin = origin;
    event->breaker = reply_text(kept->breaker);
    event->from_state = reply_text(breaker_state_names[transition->from]);
    event->to_state = reply_text(breaker_state_names[transition->to]);
    event->generation = transition->generation;
    event->successes = transition->successes;
    event->failures = transition->failures;
    event->timeouts = transition->timeouts;
    event->slow = transition->slow;
    event->consecutive = transition->consecutive;
    event->error_threshold_percent = kept->error_threshold_percent;
    event->slow_threshold_percent = kept->slow_threshold_percent;
    event->open_for_ms = transition->open_for_ns / NS_PER_MS;
    event->stream = events->stream;
    event->sequence = kept->sequence;
    event->rule = reply_text(breaker_rule_names[transition->rule]);
    event->author = reply_text(transition->author);
    event->reason = reply_text(transition->reason);
}

bool events_publish(struct events *events, const struct breaker_definition *definition,
                    const struct breaker_transition *transition)
{
    struct kept *kept = &events->ring[events->next % EVENTS_KEPT];
    Valvechain__V1__Origin origin;
    Valvechain__V1__BreakerEvent event;
    char topic[sizeof("breaker.event.") + BREAKER_NAME_MAX];
    *kept = (struct kept){.sequence = events->next++,
                          .wall_ns = clock_wall_ns(),
                          .error_threshold_percent = definition->error_threshold_percent,
                          .slow_threshold_percent = definition->slow_threshold_percent,
                          .transition = *transition};
    snprintf(kept->breaker, sizeof(kept->breaker), "%s", definition->name);
    snprintf(topic, sizeof(topic), "breaker.event.%s", kept->breaker);
    fill(events, kept, &origin, &event);
    log_info("breaker.changed", "a breaker changed its state", LSTR("breaker", kept->breaker),
             LSTR("from", event.from_state), LSTR("to", event.to_state), LSTR("rule", event.rule),
             LUINT("successes", event.successes), LUINT("failures", event.failures),
             LUINT("timeouts", event.timeouts), LUINT("slow", event.slow),
             LUINT("open_for_ms", event.open_for_ms), LSTR("author", event.author),
             LSTR("reason", event.reason));
    return bus_publish(events->service->bus, topic, &event.base) == 0; // the bus counts a drop
}

// From the first one kept that is not known to the asker; `missed`: some he does not know are gone.
static int append_since(struct events *events, const Valvechain__V1__BreakerEventsAsk *ask,
                        struct strbuf *reply)
{
    Valvechain__V1__BreakerEvents answer = VALVECHAIN__V1__BREAKER_EVENTS__INIT;
    Valvechain__V1__BreakerEvent *list[EVENTS_REPLY_MAX];
    struct {
        Valvechain__V1__BreakerEvent event;
        Valvechain__V1__Origin origin;
    } *room = calloc(EVENTS_REPLY_MAX, sizeof(*room));
    if (room == NULL)
        return -ENOMEM;
    uint64_t oldest = events->next > EVENTS_KEPT ? events->next - EVENTS_KEPT : 1;
    bool is_same = ask->stream == 0 || ask->stream == events->stream;
    uint64_t from = is_same ? ask->sequence + 1 : 1;
    answer.stream = events->stream;
    answer.missed = !is_same || from < oldest;
    answer.last_sequence = events->next - 1;
    answer.events = list;
    for (uint64_t at = from > oldest ? from : oldest;
         at < events->next && answer.n_events < EVENTS_REPLY_MAX; at++) {
        const struct kept *kept = &events->ring[at % EVENTS_KEPT];
        if (ask->breaker[0] != '\0' && strcmp(ask->breaker, kept->breaker) != 0)
            continue;
        list[answer.n_events] = &room[answer.n_events].event;
        fill(events, kept, &room[answer.n_events].origin, &room[answer.n_events].event);
        answer.n_events++;
    }
    int error = reply_append(&answer.base, reply);
    free(room);
    return error;
}

static int serve(void *arg, const void *bytes, size_t len, struct strbuf *reply)
{
    struct events *events = arg;
    Valvechain__V1__BreakerEventsAsk *ask =
        valvechain__v1__breaker_events_ask__unpack(NULL, len, bytes);
    if (ask == NULL) {
        bus_refuse(events->service->bus, "the message is no BreakerEventsAsk");
        return -EINVAL;
    }
    int error = append_since(events, ask, reply);
    valvechain__v1__breaker_events_ask__free_unpacked(ask, NULL);
    return error;
}

int events_create(struct service *service, struct events **ret_events)
{
    struct events *events = calloc(1, sizeof(*events));
    if (events == NULL)
        return -ENOMEM;
    events->service = service;
    events->stream = clock_wall_ns();
    events->next = 1;
    int error = bus_serve_bytes(service->bus, "breaker.events", serve, events);
    if (error < 0) {
        free(events);
        return error;
    }
    *ret_events = events;
    return 0;
}

void events_destroy(struct events **events)
{
    free(*events);
    *events = NULL;
}
