#include "check_facts.h"

#include <string.h>

#include "config/method.h"
#include "limit/claims.h"

static bool find_tier(const struct limit_view *view, const struct check_text *text,
                      uint32_t *ret_tier)
{
    for (uint32_t i = 0; i < (view ? LIMIT_TIER_MAX : LIMIT_TIERS_BUILTIN); i++) {
        const char *name = view ? limit_tier_name(view, i) : limit_tier_names[i];

        if (name && claim_is(text->text, text->len, name)) {
            *ret_tier = i;
            return true;
        }
    }
    return false;
}

// Begins with '/', and no segment leads elsewhere: what is matched must be what is meant.
static bool is_path(const struct check_text *path)
{
    const char *segment = path->text, *end = path->text + path->len;

    if (*segment != '/')
        return false;
    while (segment < end) { // *segment is a slash
        const char *begin = segment + 1;
        const char *slash = memchr(begin, '/', (size_t)(end - begin));
        size_t len = (size_t)((slash ? slash : end) - begin);

        if ((slash && len == 0) || (len > 0 && len <= 2 && memcmp(begin, "..", len) == 0))
            return false;
        segment = begin + len;
    }
    return true;
}

static const char *read_texts(const struct check_request *check, struct limit_facts *facts)
{
    facts->subject = check->subject.text;
    facts->subject_len = check->subject.len;
    facts->api_key = check->api_key.text;
    facts->api_key_len = check->api_key.len;
    facts->path = check->path.text;
    facts->path_len = check->path.len;
    facts->host = check->host.text;
    facts->host_len = check->host.len;
    if (facts->subject_len > CHECK_TEXT_MAX || facts->api_key_len > CHECK_TEXT_MAX ||
        facts->path_len > CHECK_TEXT_MAX || facts->host_len > CHECK_TEXT_MAX)
        return "subject, api_key, path and host have at most 4096 bytes";
    if (facts->path_len > 0 && !is_path(&check->path))
        return "path must begin with '/' and have no '//', '.' and '..' segments";
    return NULL;
}

const char *check_facts_read(const struct limit_view *view, const struct region_map *regions,
                             const struct check_request *check, struct limit_facts *ret_facts)
{
    struct limit_facts facts = {0};
    const char *wrong = read_texts(check, &facts);

    if (wrong)
        return wrong;
    if (address_parse(check->client.text, check->client.len, &facts.client) < 0)
        return "client must be an IPv4 or IPv6 address";
    if (check->tier.len > 0 && !find_tier(view, &check->tier, &facts.tier))
        return "tier must be free, premium, enterprise or one of the configuration file";
    if (check->region.len == 0)
        facts.region = region_of_caller(view, regions, &facts.client);
    else if (!claim_region(check->region.text, check->region.len, &facts.region))
        return "region must be us-east, us-west, europe or asia";
    if (check->cost > CHECK_COST_MAX)
        return "cost must be at most 1000000";
    facts.tier_verified = check->tier.len > 0;
    facts.method = check->method.len > 0 ? method_bit_of(check->method.text, check->method.len)
                                         : (unsigned)HTTP_GET;
    facts.cost = check->peek ? 0 : check->cost ? check->cost : 1;
    *ret_facts = facts;
    return NULL;
}
