#include "check_facts.h"

#include <string.h>

#include "config/method.h"

static bool find(const char *const *names, size_t n, const char *text, uint32_t *ret_index)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(names[i], text) == 0) {
            *ret_index = (uint32_t)i;
            return true;
        }
    }
    return false;
}

// Begins with '/', and no segment leads elsewhere: what is matched must be what is meant.
static bool is_path(const char *path, size_t len)
{
    if (path[0] != '/')
        return false;
    for (size_t i = 0; i < len; i++) {
        const char *segment = path + i + 1;

        if (path[i] != '/')
            continue;
        if (segment[0] == '/' || (segment[0] == '.' && strchr("/", segment[1])) ||
            (segment[0] == '.' && segment[1] == '.' && strchr("/", segment[2])))
            return false;
    }
    return true;
}

static const char *read_texts(const Valvechain__V1__LimitCheck *check, struct limit_facts *facts)
{
    facts->subject = check->subject;
    facts->subject_len = strlen(check->subject);
    facts->api_key = check->api_key;
    facts->api_key_len = strlen(check->api_key);
    facts->path = check->path;
    facts->path_len = strlen(check->path);
    if (facts->subject_len > CHECK_TEXT_MAX || facts->api_key_len > CHECK_TEXT_MAX ||
        facts->path_len > CHECK_TEXT_MAX)
        return "subject, api_key and path have at most 4096 bytes";
    if (facts->path_len > 0 && !is_path(check->path, facts->path_len))
        return "path must begin with '/' and have no '//', '.' and '..' segments";
    return NULL;
}

const char *check_facts_read(const Valvechain__V1__LimitCheck *check, struct limit_facts *ret_facts)
{
    struct limit_facts facts = {.region = LIMIT_REGION_US_EAST};
    const char *wrong = read_texts(check, &facts);

    if (wrong)
        return wrong;
    if (address_parse(check->client, strlen(check->client), &facts.client) < 0)
        return "client must be an IPv4 or IPv6 address";
    if (check->tier[0] && !find(limit_tier_names, 3, check->tier, &facts.tier))
        return "tier must be free, premium or enterprise";
    if (check->region[0] && !find(limit_region_names, 4, check->region, &facts.region))
        return "region must be us-east, us-west, europe or asia";
    if (check->cost > CHECK_COST_MAX)
        return "cost must be at most 1000000";
    facts.tier_verified = check->tier[0] != '\0';
    facts.method =
        check->method[0] ? method_bit_of(check->method, strlen(check->method)) : (unsigned)HTTP_GET;
    facts.cost = check->peek ? 0 : check->cost ? check->cost : 1;
    *ret_facts = facts;
    return NULL;
}
