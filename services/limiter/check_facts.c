#include "check_facts.h"

#include <string.h>

#include "config/method.h"

static bool find_tier(const struct limit_view *view, const char *text, uint32_t *ret_tier)
{
    for (uint32_t i = 0; i < (view ? LIMIT_TIER_MAX : LIMIT_TIERS_BUILTIN); i++) {
        const char *name = view ? limit_tier_name(view, i) : limit_tier_names[i];

        if (name && strcmp(name, text) == 0) {
            *ret_tier = i;
            return true;
        }
    }
    return false;
}

static bool find_region(const char *text, uint32_t *ret_region)
{
    for (uint32_t i = 0; i < LIMIT_REGIONS; i++) {
        if (strcmp(limit_region_names[i], text) == 0) {
            *ret_region = i;
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
    facts->host = check->host;
    facts->host_len = strlen(check->host);
    if (facts->subject_len > CHECK_TEXT_MAX || facts->api_key_len > CHECK_TEXT_MAX ||
        facts->path_len > CHECK_TEXT_MAX || facts->host_len > CHECK_TEXT_MAX)
        return "subject, api_key, path and host have at most 4096 bytes";
    if (facts->path_len > 0 && !is_path(check->path, facts->path_len))
        return "path must begin with '/' and have no '//', '.' and '..' segments";
    return NULL;
}

const char *check_facts_read(const struct limit_view *view, const Valvechain__V1__LimitCheck *check,
                             struct limit_facts *ret_facts)
{
    struct limit_facts facts = {.region = LIMIT_REGION_US_EAST};
    const char *wrong = read_texts(check, &facts);

    if (wrong)
        return wrong;
    if (address_parse(check->client, strlen(check->client), &facts.client) < 0)
        return "client must be an IPv4 or IPv6 address";
    if (check->tier[0] && !find_tier(view, check->tier, &facts.tier))
        return "tier must be free, premium, enterprise or one of the configuration file";
    if (check->region[0] && !find_region(check->region, &facts.region))
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
