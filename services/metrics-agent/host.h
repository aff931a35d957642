// CPU and memory of what the gateway runs in: the container (cgroup v2) when this process sits at
// the top of a cgroup namespace of its own that has limits, else the whole host (/proc). On a VM
// under systemd each unit has a cgroup of its own, and the agent's says nothing about the gateway:
// the host. Parsing is pure and tested on texts; host_read() does the reading. Thread: one.
#ifndef VALVECHAIN_METRICS_AGENT_HOST_H
#define VALVECHAIN_METRICS_AGENT_HOST_H

#include <stdbool.h>
#include <stdint.h>

enum host_scope { HOST_SCOPE_AUTO, HOST_SCOPE_CGROUP, HOST_SCOPE_HOST };

struct host_cpu {
    uint64_t busy_us;      // CPU time used since boot (host) or since the cgroup was made
    uint64_t time_us;      // wall time of the reading, CLOCK_MONOTONIC
    double capacity_cores; // what 100 % means
};
struct host_memory {
    uint64_t used_bytes;
    uint64_t limit_bytes;
};
struct host_paths {     // tests point these elsewhere
    const char *proc;   // "/proc"
    const char *cgroup; // "/sys/fs/cgroup"
};

// Resolves `auto`. -ENOENT: cgroup was asked for and there is no cgroup v2 with cpu.stat here.
int host_scope_resolve(const struct host_paths *paths, enum host_scope wanted,
                       enum host_scope *ret_scope);
// -errno when a file is missing or not of its form: the figure is then unknown, never zero.
int host_cpu_read(const struct host_paths *paths, enum host_scope scope, uint64_t now_us,
                  struct host_cpu *ret_cpu);
int host_memory_read(const struct host_paths *paths, enum host_scope scope,
                     struct host_memory *ret_memory);
// Percent of capacity between two readings, 0..100; false when no time has passed.
bool host_cpu_percent(const struct host_cpu *before, const struct host_cpu *after,
                      double *ret_percent);

// The parsers, on file contents. -EPROTO when the text is not of its form.
int host_parse_proc_stat(const char *text, long ticks_per_s, uint64_t *ret_busy_us,
                         uint32_t *ret_cpus);
int host_parse_meminfo(const char *text, struct host_memory *ret_memory);
int host_parse_cpu_stat(const char *text, uint64_t *ret_usage_us);
// "max 100000" gives `cpus`, "150000 100000" gives 1.5.
int host_parse_cpu_max(const char *text, uint32_t cpus, double *ret_cores);

#endif
