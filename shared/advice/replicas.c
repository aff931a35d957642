#include "advice/replicas.h"

#include <math.h>

#define MILLI_MAX 9e15 // a double counts exactly up to here, and a hundredfold fits int64

uint32_t replicas_ceil(double number)
{
    if (!(number > 0))
        return 0;
    return number >= (double)REPLICAS_MAX ? REPLICAS_MAX : (uint32_t)ceil(number);
}

static int64_t milli_of(double quantity)
{
    double milli = round(quantity * 1000);

    if (!(milli > 0))
        return 0;
    return milli >= MILLI_MAX ? (int64_t)MILLI_MAX : (int64_t)milli;
}

// What is left of pods when they are sums; all in thousandths.
struct pods {
    int64_t total, capacity;
    uint32_t n;
};

static bool ratio_of(const struct replicas_asked *asked, const struct pods *pods, double *ret_ratio,
                     double *ret_value)
{
    if (pods->n == 0)
        return false;
    if (asked->form == ADVICE_UTILIZATION) {
        if (pods->capacity <= 0)
            return false;
        // Whole percent, cut: the HPA's int32.
        int64_t whole = pods->total * 100 / pods->capacity;
        double percent = (double)whole;

        *ret_ratio = percent / asked->target;
        *ret_value = percent;
        return true;
    }
    int64_t average = pods->total / pods->n;

    *ret_ratio = (double)average / (double)milli_of(asked->target);
    *ret_value = (double)average / 1000;
    return true;
}

static bool is_within(const struct replicas_asked *asked, double ratio)
{
    return 1.0 - asked->tolerance_down <= ratio && ratio <= 1.0 + asked->tolerance_up;
}

// Instances without a figure count as idle before growth and as fully used before shrinking, so
// that what is not known can only damp; those not ready count, as idle, only before growth.
static struct pods refill(const struct replicas_asked *asked, const struct advice_seen_usage *usage,
                          const struct pods *measured, double ratio)
{
    struct pods pods = *measured;

    if (usage->missing > 0 && ratio != 1.0) {
        int64_t missing_capacity = milli_of(usage->missing_capacity);
        int64_t full = asked->form == ADVICE_UTILIZATION
                           ? (int64_t)((double)missing_capacity * fmax(100, asked->target) / 100)
                           : milli_of(asked->target) * usage->missing;

        pods.total += ratio < 1.0 ? full : 0;
        pods.capacity += missing_capacity;
        pods.n += usage->missing;
    }
    if (usage->unready > 0 && ratio > 1.0) {
        pods.capacity += milli_of(usage->unready_capacity);
        pods.n += usage->unready;
    }
    return pods;
}

static bool wanted_by_pods(const struct replicas_asked *asked,
                           const struct advice_seen_usage *usage, uint32_t *ret_replicas,
                           double *ret_value)
{
    struct pods pods = {milli_of(usage->total), milli_of(usage->capacity), usage->measured};
    double ratio, refilled, ignored;

    if (!ratio_of(asked, &pods, &ratio, ret_value))
        return false;
    *ret_replicas = asked->current;
    if (usage->missing == 0 && (usage->unready == 0 || ratio <= 1.0)) {
        if (!is_within(asked, ratio))
            *ret_replicas = replicas_ceil(ratio * pods.n);
        return true;
    }
    pods = refill(asked, usage, &pods, ratio);
    if (!ratio_of(asked, &pods, &refilled, &ignored))
        return false;
    if (is_within(asked, refilled) || (ratio < 1.0 && refilled > 1.0) ||
        (ratio > 1.0 && refilled < 1.0))
        return true;
    uint32_t wanted = replicas_ceil(refilled * pods.n);

    if ((refilled < 1.0 && wanted > asked->current) || (refilled > 1.0 && wanted < asked->current))
        return true;
    *ret_replicas = wanted;
    return true;
}

static uint32_t wanted_by_value(const struct replicas_asked *asked, double total)
{
    double ratio = (double)milli_of(total) / (double)milli_of(asked->target);

    if (asked->current == 0)
        return replicas_ceil(ratio);
    return is_within(asked, ratio) ? asked->current : replicas_ceil(ratio * asked->ready);
}

static uint32_t wanted_by_total(const struct replicas_asked *asked, double total)
{
    double usage = (double)milli_of(total), target = (double)milli_of(asked->target);

    if (asked->current > 0 && is_within(asked, usage / (target * asked->current)))
        return asked->current;
    return replicas_ceil(usage / target);
}

bool replicas_wanted(const struct replicas_asked *asked, const struct advice_seen_usage *usage,
                     uint32_t *ret_replicas, double *ret_value)
{
    if (!usage->known || milli_of(asked->target) == 0)
        return false;
    if (asked->form == ADVICE_VALUE) {
        *ret_value = usage->total;
        *ret_replicas = wanted_by_value(asked, usage->total);
        return true;
    }
    if (asked->form == ADVICE_TOTAL) {
        *ret_value = asked->current > 0 ? usage->total / asked->current : usage->total;
        *ret_replicas = wanted_by_total(asked, usage->total);
        return true;
    }
    return wanted_by_pods(asked, usage, ret_replicas, ret_value);
}
