// Traces of load, for `valvectl record` and `simulate`: CSV with a first line that says so and a
// line that names the columns (docs/simulate.md). What is asked of the instances, not how many
// there were: a simulation decides that anew. Pure but for the file. Thread: one.
#ifndef VALVECHAIN_VALVECTL_TRACE_H
#define VALVECHAIN_VALVECTL_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TRACE_FIRST_LINE  "# valvechain-trace 1"
#define TRACE_SAMPLES_MAX 1000000
#define TRACE_REASON_MAX  240

enum trace_column {
    TRACE_TIME,       // time_s: seconds, ascending; from any zero
    TRACE_RPS,        // requests/s asked for
    TRACE_CPU,        // cpu_load: percent of an instance, summed over all that there were
    TRACE_IN_FLIGHT,  // in_flight: requests being served
    TRACE_LATENCY,    // latency_ms
    TRACE_QUOTA,      // quota_refusals_per_s: refused by tenants' own limits, part of rps
    TRACE_DEPENDENCY, // dependency_open: 0 or 1
    TRACE_REPLACING,  // replacing: instances that are being replaced by a rolling update
    TRACE_COLUMNS
};
extern const char *const trace_column_names[TRACE_COLUMNS];

struct trace_sample {
    double values[TRACE_COLUMNS]; // NaN: not measured
};
struct trace {
    struct trace_sample *samples;
    size_t n, cap;
    double step_s; // the median distance of two samples
};

// -EINVAL: `reason` names line, what is wrong and what is allowed; -errno: the file (the same).
int trace_read(const char *path, struct trace *ret_trace, char reason[TRACE_REASON_MAX]);
// The same from text, of `len` bytes; `name` for the reason.
int trace_parse(const char *name, const char *text, size_t len, struct trace *ret_trace,
                char reason[TRACE_REASON_MAX]);
void trace_fini(struct trace *trace);

void trace_write_head(FILE *out);
void trace_write_sample(FILE *out, const struct trace_sample *sample);
struct trace_sample trace_sample_unknown(double time_s);

#endif
