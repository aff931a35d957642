// Averages over an evaluation period from samples that come about once a second, with the question
// asked first whether the period is really covered. Pure. Thread: one.
#ifndef VALVECHAIN_SCALER_ADVISOR_EVALUATION_H
#define VALVECHAIN_SCALER_ADVISOR_EVALUATION_H

#include <stdbool.h>
#include <stdint.h>

#define EVALUATION_COVERAGE_PERCENT 90 // of the period's seconds must have a sample

struct evaluation_sample {
    uint64_t time_ns;
    double value;
};

struct evaluation {                    // one signal
    struct evaluation_sample *samples; // ring
    uint32_t cap, n, next;
    uint64_t period_ns;
};

struct evaluation_result {
    bool known; // the samples cover the period up to now
    double average;
    uint32_t covered_s, period_s; // for the sentence that says why it is not known
};

// -ENOMEM. The ring holds one sample a second of the period.
int evaluation_init(struct evaluation *evaluation, uint64_t period_s);
void evaluation_fini(struct evaluation *evaluation);
// Samples closer together than half a second are merged into the older one's place by skipping
// them.
void evaluation_add(struct evaluation *evaluation, uint64_t now_ns, double value);
void evaluation_read(const struct evaluation *evaluation, uint64_t now_ns,
                     struct evaluation_result *ret_result);
// A new period (reload) keeps the samples that still fit. -ENOMEM leaves all as it was.
int evaluation_set_period(struct evaluation *evaluation, uint64_t period_s);

#endif
