// What the files of the outbox share: its state. Only outbox*.c include this.
#ifndef VALVECHAIN_BREAKER_OUTBOX_INTERNAL_H
#define VALVECHAIN_BREAKER_OUTBOX_INTERNAL_H

#include "breaker_params.h"
#include "net/smtp_send.h"
#include "outbox.h"
#include "outbox_journal.h"
#include "outbox_send.h"

struct outbox_flight; // outbox_replay.c: an operation on its way

struct outbox_upstream { // what replay knows of one
    char name[OUTBOX_NAME_MAX];
    unsigned n_flights;  // claimed or being sent
    double tokens;       // attempts that may begin now
    uint64_t filled_ns;  // tokens as of
    uint64_t wait_ns;    // nothing begins before (CLOCK_MONOTONIC)
    uint64_t live_total; // calls of the breaker, as of the last second
    double live_per_s;   // without ours
    unsigned attempts;   // since the last second
    bool is_registered;
    metric_id operations[OUTBOX_STATES], bytes, age, rate, accepted, repeats,
        results[OUTBOX_STATES], dead;
};

enum outbox_refusal {
    OUTBOX_REFUSED_FULL,
    OUTBOX_REFUSED_CONFLICT,
    OUTBOX_REFUSED_REUSED,
    OUTBOX_REFUSED_TOO_LARGE,
    OUTBOX_REFUSED_STORAGE,
    OUTBOX_REFUSED_BAD,
    OUTBOX_REFUSALS
};

struct outbox {
    struct service *service;
    struct breaker_view *breakers;
    const struct breaker_params *params;
    const struct breakers_params *defaults;
    char path[OUTBOX_PATH_MAX];
    struct outbox_journal journal;
    struct outbox_uploads uploads;
    struct curl_loop *sender;
    struct smtp_sender *mailer;
    struct outbox_upstream upstreams[CONFIG_UPSTREAMS_MAX];
    size_t n_upstreams;
    struct outbox_flight *flights;
    uv_timer_t tick, second; // tick: runs while operations wait
    unsigned n_open_timers;
    bool sweeping;
    bool stopping;
    uint64_t stop_by_ns;
    void (*on_drained)(void *arg);
    void *drained_arg;
    char notice[256]; // the finding shown in health
    uint64_t random;
    metric_id refused[OUTBOX_REFUSALS], commits, commit_failures, damaged;
    uint64_t seen_commits, seen_failures;
};

// Chooses the place, as OUTBOX_PATH's row says. -ENOENT: there is none.
int outbox_prepare(struct outbox *outbox, bool make);
bool outbox_exists(const struct outbox *outbox); // something was kept once
struct outbox_upstream *outbox_upstream(struct outbox *outbox, const char *name); // NULL: too many
const struct config_upstream *outbox_config(const struct outbox *outbox, const char *name);
void outbox_count_refusal(struct outbox *outbox, enum outbox_refusal reason);
void outbox_publish_end(struct outbox *outbox, const Valvechain__V1__OutboxOperation *operation);
uint32_t outbox_random(struct outbox *outbox);

// outbox_replay.c
void outbox_replay(struct outbox *outbox);         // begins what may begin now
void outbox_replay_second(struct outbox *outbox);  // once a second: rates
void outbox_replay_abandon(struct outbox *outbox); // ends all attempts

#endif
