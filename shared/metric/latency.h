// Bounds of every latency histogram, so that the same metric of several processes adds up: from
// 1 ms, where a gateway on the same host is, to the 10 s of the slowest default timeout.
#ifndef VALVECHAIN_METRIC_LATENCY_H
#define VALVECHAIN_METRIC_LATENCY_H

#define LATENCY_BOUNDS_S                                                                           \
    {                                                                                              \
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10                     \
    }

#endif
