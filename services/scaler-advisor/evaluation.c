#include "evaluation.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"

int evaluation_init(struct evaluation *evaluation, uint64_t period_s)
{
    // Two more than the seconds, so that a sample just outside the period is never needed inside
    // it.
    uint32_t cap = (uint32_t)period_s + 2;
    struct evaluation_sample *samples = calloc(cap, sizeof(*samples));
    if (!samples)
        return -ENOMEM;
    *evaluation =
        (struct evaluation){.samples = samples, .cap = cap, .period_ns = period_s * NS_PER_S};
    return 0;
}

void evaluation_fini(struct evaluation *evaluation)
{
    free(evaluation->samples);
    *evaluation = (struct evaluation){0};
}

static const struct evaluation_sample *sample_back(const struct evaluation *evaluation,
                                                   uint32_t back)
{
    return &evaluation->samples[(evaluation->next + evaluation->cap - 1 - back) % evaluation->cap];
}

void evaluation_add(struct evaluation *evaluation, uint64_t now_ns, double value)
{
    if (evaluation->n > 0 && now_ns < sample_back(evaluation, 0)->time_ns + NS_PER_S / 2)
        return;
    evaluation->samples[evaluation->next] = (struct evaluation_sample){now_ns, value};
    evaluation->next = (evaluation->next + 1) % evaluation->cap;
    if (evaluation->n < evaluation->cap)
        evaluation->n++;
}

void evaluation_read(const struct evaluation *evaluation, uint64_t now_ns,
                     struct evaluation_result *ret_result)
{
    double sum = 0;
    uint32_t n = 0;
    for (uint32_t back = 0; back < evaluation->n; back++) {
        const struct evaluation_sample *sample = sample_back(evaluation, back);
        if (now_ns - sample->time_ns >= evaluation->period_ns)
            break;
        sum += sample->value;
        n++;
    }
    uint32_t period_s = (uint32_t)(evaluation->period_ns / NS_PER_S);
    uint32_t needed = (period_s * EVALUATION_COVERAGE_PERCENT + 99) / 100;
    *ret_result = (struct evaluation_result){
        .known = n >= needed,
        .average = n > 0 ? sum / n : 0,
        .covered_s = n < period_s ? n : period_s,
        .period_s = period_s,
    };
}

int evaluation_set_period(struct evaluation *evaluation, uint64_t period_s)
{
    struct evaluation renewed;
    if (period_s * NS_PER_S == evaluation->period_ns)
        return 0;
    int error = evaluation_init(&renewed, period_s);
    if (error < 0)
        return error;
    for (uint32_t back = evaluation->n; back-- > 0;) {
        const struct evaluation_sample *sample = sample_back(evaluation, back);
        evaluation_add(&renewed, sample->time_ns, sample->value);
    }
    evaluation_fini(evaluation);
    *evaluation = renewed;
    return 0;
}
