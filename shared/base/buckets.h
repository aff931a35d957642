// The upper bounds of a histogram's buckets as people write them: seconds, ascending, separated by
// commas. Pure. Thread: any.
#ifndef VALVECHAIN_BASE_BUCKETS_H
#define VALVECHAIN_BASE_BUCKETS_H

#include <stdbool.h>
#include <stdint.h>

// So many fit a process's values with all routes and upstreams it may have (metric/metric.h).
#define BUCKETS_MAX 16

// What every latency histogram has unless told otherwise: from 1 ms, where a gateway on the same
// host is, to the 10 s of the slowest default timeout.
#define BUCKETS_LATENCY_S       0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10
#define BUCKETS_TEXT(...)       BUCKETS_TEXT_OF(__VA_ARGS__)
#define BUCKETS_TEXT_OF(...)    #__VA_ARGS__
#define BUCKETS_LATENCY_DEFAULT BUCKETS_TEXT(BUCKETS_LATENCY_S)

struct buckets {
    double upper[BUCKETS_MAX];
    uint32_t n;
};

// 1 to BUCKETS_MAX plain decimal numbers above 0 and at most 86400, each larger than the one
// before. -EINVAL: not of that form.
int buckets_parse(const char *text, struct buckets *ret_buckets);
bool buckets_are_valid(const char *text);
#define BUCKETS_FORM                                                                               \
    .is_valid = buckets_are_valid,                                                                 \
    .allowed = "1 to 16 numbers of seconds above 0 and at most 86400, each larger than the one "   \
               "before, separated by commas, for example 0.01, 0.1, 1"

#endif
