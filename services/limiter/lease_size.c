#include "lease_size.h"

#include "base/clock.h"
#include "limit/lease.h"
#include "limit/policy_set.h"

#define GROWTH      4
#define DRIFT_SHARE 512 // 1/1000 for two clocks slewed by 500 ppm, and some
#define LONGEST_NS  (LIMIT_WINDOW_MAX_NS / LEASE_LIVES_A_WINDOW)
#define FASTEST_NS  NS_PER_MS // a shorter time tells nothing of a rate

uint64_t lease_life_ns(uint64_t window_ns)
{
    uint64_t life_ns = window_ns / LEASE_LIVES_A_WINDOW;
    return life_ns < LONGEST_NS ? life_ns : LONGEST_NS;
}

uint64_t lease_end_ns(uint64_t sent_ns, uint64_t life_ns)
{
    return sent_ns + life_ns - life_ns / DRIFT_SHARE;
}

uint64_t lease_want(const struct lease_history *history, uint64_t need, uint64_t life_ns,
                    uint64_t now_ns)
{
    uint64_t least = need > 0 ? need : 1;
    uint64_t since_ns = now_ns > history->granted_ns ? now_ns - history->granted_ns : 0;
    if (history->granted_ns == 0 || since_ns > life_ns) {
        return least;
    }
    uint64_t known = history->unspent < history->granted ? history->unspent : history->granted;
    double spent = (double)(history->granted - known + need);
    double rate = spent / (double)(since_ns > FASTEST_NS ? since_ns : FASTEST_NS);
    double ahead = rate * (double)life_ns * 3 / 4;
    double most = (double)(GROWTH * (history->granted > least ? history->granted : least));
    double want = (double)need + (ahead < most ? ahead : most);
    uint64_t whole = want < (double)LEASE_TOKENS_MAX ? (uint64_t)want : LEASE_TOKENS_MAX;
    return whole > least ? whole : least;
}

uint32_t lease_low_mark(uint64_t tokens)
{
    return (uint32_t)(tokens / 4);
}
