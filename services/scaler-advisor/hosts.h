// What many metrics-agents say, as one: sums over hosts, and figures of all their instances. Pure:
// the caller gives the time of receipt, and only that says how old something is; the hosts' clocks
// may be wrong by years.
//
// * A rate is the growth of a host's counter by the growth of its uptime, so lost messages cost
//   nothing. A counter that fell, or another life (restart), begins anew: that step says nothing,
//   and the rate known before stands for it.
// * Messages that were long under way are told by how much later they come, measured by their
//   uptime, than the fastest of that life. More than stale_ns: not taken, so the host ages.
// * A host that is silent for stale_ns has its instances counted as missing: they are there, and
//   nothing is known of them. Nothing at all from it for forget_ns: it is gone.
// * The same message by two ways counts once.
// Thread: one.
#ifndef VALVECHAIN_SCALER_ADVISOR_HOSTS_H
#define VALVECHAIN_SCALER_ADVISOR_HOSTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOSTS_MAX           1024
#define HOST_NAME_MAX_BYTES 96 // host/instance, with its NUL

struct host_report { // of one snapshot
    const char *host, *instance;
    uint64_t sequence, wall_ns, uptime_ms; // of the sender
    uint64_t requests_total, refusals_total;
    bool rate_known, cpu_known, memory_known, response_known;
    double cpu_percent, memory_percent, response_ms;
    uint32_t instances; // live gateways
    uint64_t active_connections;
    uint32_t breakers_open;
};

struct host {
    char name[HOST_NAME_MAX_BYTES];
    struct host_report last;        // its texts are not used
    uint64_t received_ns, heard_ns; // the last that was taken; anything at all
    int64_t life_ms;                // start of its life by its own wall clock
    int64_t offset_ns;              // of receipt to uptime, the least so far; creeps up with drift
    uint64_t base_requests, base_refusals, base_uptime_ms; // of the next rate
    double rate, refusal_rate;                             // per second
    bool has_rate;
};
struct hosts {
    uint64_t stale_ns, forget_ns;
    size_t n;
    uint64_t restarts, late, repeated, refused; // messages by what was made of them
    struct host hosts[HOSTS_MAX];
};

struct host_share { // of a figure that is an average over instances
    double percent;
    uint32_t measured; // instances it is of; 0: not known
};
struct hosts_sum {
    uint32_t hosts, silent; // heard of lately; not so, and not forgotten
    uint32_t instances;     // of the former
    uint32_t missing;       // of the latter
    double requests_per_s, refusals_per_s;
    uint32_t rate_measured; // instances that these are of; 0: not known
    struct host_share cpu, memory;
    double response_ms; // weighted by the rates
    bool response_known;
    uint64_t active_connections;
    bool dependency_open; // a breaker of any host is
};

void hosts_init(struct hosts *hosts, uint64_t stale_ns, uint64_t forget_ns);
// False: not taken (late, repeated, or HOSTS_MAX reached), and counted.
bool hosts_take(struct hosts *hosts, uint64_t now_ns, const struct host_report *report);
// Forgets who is silent for too long. Without a host that was heard of lately all figures are not
// known.
void hosts_sum(struct hosts *hosts, uint64_t now_ns, struct hosts_sum *ret_sum);

#endif
