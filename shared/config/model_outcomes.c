#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/reader.h"

#define CONFIG_CALL_END_NAME(name) #name,
static const char *const end_names[] = {CONFIG_CALL_ENDS(CONFIG_CALL_END_NAME)};

enum config_outcome config_outcome_of_status(const struct config_outcomes *outcomes,
                                             unsigned status)
{
    return status >= CONFIG_STATUS_MIN && status <= CONFIG_STATUS_MAX
               ? (enum config_outcome)outcomes->of_status[status - CONFIG_STATUS_MIN]
               : OUTCOME_UNSAID;
}

enum config_outcome config_outcome_of_rpc(const struct config_outcomes *outcomes, int64_t code)
{
    for (size_t i = 0; i < outcomes->n_rpc; i++)
        if (code >= outcomes->rpc[i].from && code <= outcomes->rpc[i].to)
            return outcomes->rpc[i].outcome;
    return OUTCOME_UNSAID;
}

// A whole number at the start of the text, without blanks and plus. NULL: none.
static const char *number(const char *text, int64_t *ret_value)
{
    char *end;
    const char *digits = text[0] == '-' ? text + 1 : text;
    if (digits[0] < '0' || digits[0] > '9')
        return NULL;
    errno = 0;
    *ret_value = strtoll(text, &end, 10);
    return errno == 0 ? end : NULL;
}

int config_range_parse(const char *text, int64_t min, int64_t max, int64_t *ret_from,
                       int64_t *ret_to)
{
    int64_t from, to;
    const char *end = number(text, &from);
    to = from = end != NULL ? from : 0;
    if (end != NULL && strncmp(end, "..", 2) == 0)
        end = number(end + 2, &to);
    if (end == NULL || *end != '\0' || from < min || to > max || from > to)
        return -EINVAL;
    *ret_from = from;
    *ret_to = to;
    return 0;
}

int config_call_end_parse(const char *word, enum config_call_end *ret_end)
{
    for (int i = 0; i < CALL_ENDS; i++) {
        if (strcmp(end_names[i], word) == 0) {
            *ret_end = (enum config_call_end)i;
            return 0;
        }
    }
    return -EINVAL;
}

// Sets [from, to] of the table; false when a part belongs to another list.
static bool set(uint8_t *table, size_t from, size_t to, enum config_outcome outcome)
{
    for (size_t i = from; i <= to; i++) {
        if (table[i] != OUTCOME_UNSAID && table[i] != (uint8_t)outcome)
            return false;
        table[i] = (uint8_t)outcome;
    }
    return true;
}

static bool take(struct config_outcomes *outcomes, const char *text, enum config_outcome outcome)
{
    int64_t from, to;
    enum config_call_end end;
    if (config_call_end_parse(text, &end) == 0)
        return set(outcomes->of_end, end, end, outcome);
    if (config_range_parse(text, CONFIG_STATUS_MIN, CONFIG_STATUS_MAX, &from, &to) < 0)
        return true; // complained about already
    return set(outcomes->of_status, (size_t)from - CONFIG_STATUS_MIN,
               (size_t)to - CONFIG_STATUS_MIN, outcome);
}

static bool take_rpc(struct config_outcomes *outcomes, const char *text,
                     enum config_outcome outcome)
{
    struct config_rpc_range *range = &outcomes->rpc[outcomes->n_rpc];
    if (config_range_parse(text, INT64_MIN, INT64_MAX, &range->from, &range->to) < 0)
        return true;
    for (size_t i = 0; i < outcomes->n_rpc; i++)
        if (range->from <= outcomes->rpc[i].to && outcomes->rpc[i].from <= range->to &&
            outcomes->rpc[i].outcome != outcome)
            return false;
    range->outcome = outcome;
    outcomes->n_rpc++;
    return true;
}

void reader_check_outcomes(struct reader *reader, const struct json_path *path,
                           struct config_outcomes *outcomes)
{
    typedef bool take_fn(struct config_outcomes *, const char *, enum config_outcome);
    const struct {
        const char *key;
        char **list;
        take_fn *take;
        enum config_outcome outcome;
    } lists[] = {
        {"success", outcomes->success, take, OUTCOME_SUCCESS},
        {"failure", outcomes->failure, take, OUTCOME_FAILURE},
        {"timeout", outcomes->timeout, take, OUTCOME_TIMEOUT},
        {"ignored", outcomes->ignored, take, OUTCOME_IGNORED},
        {"rpc_failure", outcomes->rpc_failure, take_rpc, OUTCOME_FAILURE},
        {"rpc_timeout", outcomes->rpc_timeout, take_rpc, OUTCOME_TIMEOUT},
        {"rpc_ignored", outcomes->rpc_ignored, take_rpc, OUTCOME_IGNORED},
    };
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        const struct json_path list = {.parent = path, .key = lists[i].key};
        for (size_t k = 0; lists[i].list != NULL && lists[i].list[k] != NULL; k++) {
            const struct json_path item = {.parent = &list, .index = k};
            if (!lists[i].take(outcomes, lists[i].list[k], lists[i].outcome))
                reader_complain(reader, &item,
                                "'%s' is in another list too, allowed is one of them",
                                lists[i].list[k]);
        }
    }
}
