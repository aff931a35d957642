// One endpoint that is probed: its own copy of what the configuration says, its timer, and the
// probe that is under way. Thread: the loop's.
#ifndef VALVECHAIN_BREAKER_PROBE_TARGET_H
#define VALVECHAIN_BREAKER_PROBE_TARGET_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "breaker/probed.h"
#include "config/model.h"
#include "metric/metric.h"
#include "probe_http.h"
#include "probe_judge.h"
#include "probe_postgres.h"
#include "probe_talk.h"

struct probe_target {
    uv_timer_t timer; // until the next probe, or until this one took too long
    uv_loop_t *loop;
    struct curl_loop *curl;
    char *host, *unix_path, *path, *host_header, *ca_file, *server_name, *password;
    char *certificate, *key;
    struct probe_place place;  // of these texts
    struct config_probe rules; // numbers only
    struct probe_talk *talk;
    struct probe_http *http;
    struct probe_postgres *postgres;
    struct probe_judge judge;
    struct probed record; // as in the segment
    uint64_t start_ns;    // of the probe under way; 0: none
    uint64_t due_ns;      // when it should have begun, had there been a thread for it
    uint32_t index;       // in the segment
    metric_id good, bad, healthy;
    // A probe has ended and is in `record`; `changed`: and the state is another one.
    void (*on_probed)(struct probe_target *target, bool changed);
    void *arg;
};

// Begins after a random part of the interval, at most a second. 0 or -ENOMEM.
int probe_target_create(uv_loop_t *loop, struct curl_loop *curl,
                        const struct config_upstream *upstream,
                        const struct config_endpoint *endpoint, struct probe_target **ret_target);
void probe_target_start(struct probe_target *target);
// The loop must turn once more. NULL allowed.
void probe_target_destroy(struct probe_target **target);

#endif
