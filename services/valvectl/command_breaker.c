// valvectl breaker open, close, disable, observe, reset and events: asked of the breaker process,
// which does it and records who and why.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ask.h"
#include "base/parse.h"
#include "base/strbuf.h"
#include "net/bus.h"

static void print_done(void *arg, const ProtobufCMessage *reply)
{
    const Valvechain__V1__BreakerCommandDone *done = (const void *)reply;
    (void)arg;
    puts(done->done);
}

static int set(const struct valvectl *ctl, const char *action)
{
    Valvechain__V1__BreakerCommand command = VALVECHAIN__V1__BREAKER_COMMAND__INIT;
    char who[OPERATOR_TEXT_MAX];
    if (ctl->argc != 1 || !ctl->reason) {
        fprintf(stderr, "valvectl: breaker %s needs one NAME and --reason TEXT\n", action);
        return VALVECTL_FINDING;
    }
    if (strlen(ctl->reason) >= BREAKER_REASON_MAX) { // the segment would keep the beginning only
        fprintf(stderr, "valvectl: --reason has %zu bytes, allowed are %d\n", strlen(ctl->reason),
                BREAKER_REASON_MAX - 1);
        return VALVECTL_FINDING;
    }
    if (ctl->for_text && !valvectl_duration(ctl->for_text, &command.for_ms))
        return VALVECTL_FINDING;
    valvectl_who(who);
    command.breaker = ctl->argv[0];
    command.action = valvectl_text(action);
    command.who = who;
    command.why = valvectl_text(ctl->reason);
    return ask(ctl, "breaker", "breaker.set", &command.base, print_done, NULL);
}

int command_breaker_open(struct valvectl *ctl)
{
    return set(ctl, "open");
}

int command_breaker_close(struct valvectl *ctl)
{
    return set(ctl, "close");
}

int command_breaker_disable(struct valvectl *ctl)
{
    return set(ctl, "disable");
}

int command_breaker_observe(struct valvectl *ctl)
{
    return set(ctl, "observe");
}

int command_breaker_reset(struct valvectl *ctl)
{
    return set(ctl, "reset");
}

struct listing {
    Valvechain__V1__BreakerEventsAsk ask; // the next question
    uint64_t newest;
    bool missed;
    size_t n; // that the last answer had
};

static void print_events(void *arg, const ProtobufCMessage *reply)
{
    struct listing *listing = arg;
    const Valvechain__V1__BreakerEvents *answer = (const void *)reply;
    for (size_t i = 0; i < answer->n_events; i++) {
        struct strbuf line = STRBUF_INIT;
        bus_message_json(&answer->events[i]->base, &line);
        if (strbuf_ok(&line))
            puts(strbuf_text(&line));
        strbuf_fini(&line);
        listing->ask.sequence = answer->events[i]->sequence;
    }
    listing->ask.stream = answer->stream;
    listing->newest = answer->last_sequence;
    listing->missed = listing->missed || answer->missed;
    listing->n = answer->n_events;
}

// What a reader who goes on from a number has to know: a gap is a finding.
static int judge(const struct listing *listing, uint64_t since)
{
    if (since > listing->newest) {
        fprintf(stderr,
                "valvectl: no event %" PRIu64 ", the newest is %" PRIu64
                ": the breaker process counts from 1 after each start\n",
                since, listing->newest);
        return VALVECTL_FINDING;
    }
    if (listing->missed)
        fputs("valvectl: earlier events are no longer kept\n", stderr);
    return listing->missed && since > 0 ? VALVECTL_FINDING : VALVECTL_OK;
}

int command_breaker_events(struct valvectl *ctl)
{
    struct listing listing = {.ask = VALVECHAIN__V1__BREAKER_EVENTS_ASK__INIT};
    uint64_t since = 0;
    int result;
    if (ctl->since && parse_u64(ctl->since, 0, UINT64_MAX - 1, &since) < 0) {
        fprintf(stderr,
                "valvectl: --since is '%s', allowed is the sequence number of an event, or 0\n",
                ctl->since);
        return VALVECTL_FINDING;
    }
    listing.ask.sequence = since;
    do // an answer has at most 256
        result = ask(ctl, "breaker", "breaker.events", &listing.ask.base, print_events, &listing);
    while (result == VALVECTL_OK && listing.n > 0 && listing.ask.sequence < listing.newest);
    return result == VALVECTL_OK ? judge(&listing, since) : result;
}
