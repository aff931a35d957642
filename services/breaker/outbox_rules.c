#include "outbox_rules.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/parse.h"
#include "breaker/call_outcome.h"

#define RETRY_AFTER_MAX_MS (24ull * 3600 * 1000)

uint64_t outbox_retry_after_ms(const char *text, size_t len, uint64_t now_ms)
{
    uint64_t seconds;
    char date[64];
    struct tm tm = {0};
    if (parse_u64_n(text, len, 0, RETRY_AFTER_MAX_MS / 1000, &seconds) == 0)
        return seconds * 1000;
    if (len >= sizeof(date))
        return UINT64_MAX;
    memcpy(date, text, len);
    date[len] = '\0';
    const char *end = strptime(date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    if (end == NULL || *end != '\0')
        return UINT64_MAX;
    time_t when = timegm(&tm);
    uint64_t when_ms = when > 0 ? (uint64_t)when * 1000 : 0;
    uint64_t wait_ms = when_ms > now_ms ? when_ms - now_ms : 0;
    return wait_ms < RETRY_AFTER_MAX_MS ? wait_ms : RETRY_AFTER_MAX_MS;
}

double outbox_replay_rate(double live_per_s, uint64_t share_percent, uint64_t floor_per_s)
{
    double share = live_per_s * (double)share_percent / 100;
    return share > (double)floor_per_s ? share : (double)floor_per_s;
}

static bool is_post(const struct outbox_call *call)
{
    return call->head_len > 5 && memcmp(call->head, "POST ", 5) == 0;
}

enum breaker_outcome outbox_outcome(const struct outbox_attempt *attempt,
                                    const struct outbox_call *call,
                                    const struct config_outcomes *outcomes)
{
    if (attempt->gateway || attempt->refused)
        return BREAKER_IGNORED;
    if (attempt->sent != OUTBOX_ANSWERED || attempt->broken)
        return call_outcome_of_end(outcomes, attempt->end);
    enum breaker_outcome outcome = call_outcome_of_status(outcomes, attempt->status);
    bool well = attempt->status >= 200 && attempt->status < 300;
    return well && outcomes->n_rpc > 0 && is_post(call)
               ? call_outcome_of_rpc(outcomes, outcome, attempt->body, attempt->body_len)
               : outcome;
}

enum next { NEXT_DONE, NEXT_AGAIN, NEXT_DEAD, NEXT_PARK };

// What the configuration says is the upstream's failure passes; what it says is none does not.
static enum next next_of(enum config_outcome said, enum next unsaid)
{
    if (said == OUTCOME_FAILURE || said == OUTCOME_TIMEOUT)
        return NEXT_AGAIN;
    return said == OUTCOME_SUCCESS && unsaid == NEXT_AGAIN ? NEXT_DEAD : unsaid;
}

static bool says_known(const char *message)
{
    // geth, erigon, besu, nethermind: the same transaction is there already.
    return strcasestr(message, "already known") != NULL ||
           strcasestr(message, "known transaction") != NULL ||
           strcasestr(message, "alreadyknown") != NULL;
}

static enum next judge_rpc(const struct outbox_attempt *attempt,
                           const struct config_outcomes *outcomes, char *error, size_t cap)
{
    json_t *root = json_loadb(attempt->body, attempt->body_len, 0, NULL);
    json_t *failure = json_object_get(root, "error");
    enum next next = NEXT_DONE;
    if (root == NULL) {
        snprintf(error, cap, "the answer is no JSON");
        next = NEXT_AGAIN;
    } else if (json_is_object(failure)) {
        const char *message = json_string_value(json_object_get(failure, "message"));
        json_int_t code = json_integer_value(json_object_get(failure, "code"));
        message = message != NULL ? message : "";
        snprintf(error, cap, "JSON-RPC error %lld: %s", (long long)code, message);
        bool passing = code == -32603 || code == -32005;
        next = says_known(message) ? NEXT_DONE
                                   : next_of(config_outcome_of_rpc(outcomes, code),
                                             passing ? NEXT_AGAIN : NEXT_DEAD);
    }
    json_decref(root);
    return next;
}

static enum next judge_answer(const struct outbox_attempt *attempt, const struct outbox_call *call,
                              const struct config_outcomes *outcomes, char *error, size_t cap)
{
    unsigned status = attempt->status;
    enum config_outcome said =
        attempt->refused ? OUTCOME_UNSAID : config_outcome_of_status(outcomes, status);
    bool passing = status == 408 || status == 425 || status == 429 ||
                   (status >= 500 && status != 501 && status != 505) ||
                   (status == 409 && (call->flags & OUTBOX_RESEND) != 0);
    enum next next = status >= 200 && status < 400 ? NEXT_DONE : passing ? NEXT_AGAIN : NEXT_DEAD;
    if (status >= 500 || said != OUTCOME_SUCCESS) // that a 4xx counts well does not end a retry
        next = next_of(said, next);
    if (next == NEXT_DONE && status < 300 && (call->flags & OUTBOX_RPC) != 0)
        return judge_rpc(attempt, outcomes, error, cap);
    if (next == NEXT_DONE)
        return next;
    if (attempt->reply != NULL)
        snprintf(error, cap, "%s", attempt->reply);
    else
        snprintf(error, cap, "answered %u", status);
    return next;
}

static enum next judge(const struct outbox_attempt *attempt, const struct outbox_call *call,
                       const struct config_outcomes *outcomes, char *error, size_t cap)
{
    switch (attempt->sent) {
    case OUTBOX_NOT_SENT:
        snprintf(error, cap, "not sent: %s", attempt->error);
        return NEXT_AGAIN;
    case OUTBOX_UNKNOWN:
        snprintf(error, cap, "whether it arrived is not known: %s", attempt->error);
        return (call->flags & OUTBOX_RESEND) != 0 ? NEXT_AGAIN : NEXT_PARK;
    case OUTBOX_ANSWERED:
        break;
    }
    return judge_answer(attempt, call, outcomes, error, cap);
}

static uint64_t backoff_ms(const struct outbox_retry_rules *rules, unsigned attempt,
                           uint32_t random)
{
    unsigned doublings = attempt > 1 ? attempt - 1 : 0;
    uint64_t bound = rules->backoff_max_ms;
    if (doublings < 40 && rules->backoff_ms << doublings < bound)
        bound = rules->backoff_ms << doublings;
    return (uint64_t)((double)random / 4294967296.0 * (double)(bound + 1));
}

void outbox_judge(const struct outbox_attempt *attempt, const struct outbox_call *call,
                  const struct config_outcomes *outcomes, const struct outbox_retry_rules *rules,
                  uint64_t now_ms, uint32_t random, struct outbox_verdict *ret_verdict)
{
    static const enum outbox_state states[] = {[NEXT_DONE] = OUTBOX_DONE,
                                               [NEXT_AGAIN] = OUTBOX_QUEUED,
                                               [NEXT_DEAD] = OUTBOX_DEAD,
                                               [NEXT_PARK] = OUTBOX_PARKED};
    struct outbox_verdict verdict = {.answer_status = attempt->status};
    enum next next = judge(attempt, call, outcomes, verdict.error, sizeof(verdict.error));
    verdict.state = states[next];
    if (next == NEXT_AGAIN) {
        uint64_t wait_ms = backoff_ms(rules, call->attempt, random);
        if (attempt->retry_after_ms != UINT64_MAX && attempt->retry_after_ms > wait_ms)
            wait_ms = attempt->retry_after_ms;
        verdict.due_ms = now_ms + wait_ms;
        size_t len = strlen(verdict.error);
        const char *end = call->attempt >= rules->max_attempts ? "; no attempt is left"
                          : verdict.due_ms >= call->expires_ms ? "; too old for another attempt"
                                                               : NULL;
        if (end != NULL) {
            verdict.state = OUTBOX_DEAD;
            snprintf(verdict.error + len, sizeof(verdict.error) - len, "%s", end);
        }
    }
    *ret_verdict = verdict;
}
