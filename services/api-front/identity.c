#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "counters.h"
#include "forwarded.h"
#include "limit/claims.h"
#include "limit/regions.h"
#include "request.h"
#include "token.h"
#include "valves.h"

#define FORWARDED_VALUES_MAX 4096

// The first header of each name that identity looks at.
struct identity_headers {
    const struct http_header *xff, *forwarded, *tier, *region, *api_key, *authorization;
};

static void take_first(const struct http_header *header, const char *name,
                       const struct http_header **found)
{
    if (*found == NULL && http_name_is(header->name, header->name_len, name))
        *found = header;
}

// One walk for all; the length alone rules most headers out.
static void find_headers(const struct request *request, struct identity_headers *found)
{
    *found = (struct identity_headers){0};
    for (size_t i = 0; i < request->n_headers; i++) {
        const struct http_header *header = &request->headers[i];
        switch (header->name_len) {
        case sizeof("x-region") - 1:
            take_first(header, "x-region", &found->region);
            break;
        case sizeof("forwarded") - 1: // and x-api-key
            take_first(header, "forwarded", &found->forwarded);
            take_first(header, "x-api-key", &found->api_key);
            break;
        case sizeof("x-api-tier") - 1:
            take_first(header, "x-api-tier", &found->tier);
            break;
        case sizeof("authorization") - 1:
            take_first(header, "authorization", &found->authorization);
            break;
        case sizeof("x-forwarded-for") - 1:
            take_first(header, "x-forwarded-for", &found->xff);
            break;
        default:
            break;
        }
    }
}

// All lines of one field, joined by commas (RFC 9110 5.3). False: none is there. What is too long
// to join is cut on the left, where our own proxies do not write.
static bool join_header(const struct request *request, const char *name,
                        char values[FORWARDED_VALUES_MAX])
{
    size_t at = FORWARDED_VALUES_MAX - 1;
    bool there = false;
    values[at] = '\0';
    for (size_t i = request->n_headers; i-- > 0;) {
        const struct http_header *header = &request->headers[i];
        if (!http_name_is(header->name, header->name_len, name))
            continue;
        if (there && at > 0)
            values[--at] = ',';
        there = true;
        size_t part = header->value_len < at ? header->value_len : at;
        at -= part;
        memcpy(values + at, header->value + header->value_len - part, part);
    }
    memmove(values, values + at, FORWARDED_VALUES_MAX - at);
    return there;
}

// Only a near peer is likely to be a proxy of ours that was forgotten; anybody else just sends the
// header.
static void note_untrusted_forwarding(struct request *request)
{
    struct valves *valves = request->valves;
    counters_add(valves, METRIC_INDEX_forwarded_untrusted, 1);
    if (!valves->forwarded_by_untrusted_private)
        valves->forwarded_by_untrusted_private =
            cidr_list_has(&valves->near, &request->identity.peer);
    if (valves->warned_forwarded)
        return;
    valves->warned_forwarded = true;
    char peer[ADDRESS_TEXT_MAX];
    (void)address_format(&request->identity.peer, peer);
    log_warn("identity.forwarded_untrusted",
             "a peer outside TRUSTED_PROXIES sends X-Forwarded-For or Forwarded, which is ignored; "
             "if it is a proxy of yours, add its address to TRUSTED_PROXIES",
             LSTR("peer", peer));
}

// Nobody knows which of the two the client made up: the proxy itself is counted, no door opens.
static void resolve_by_both(struct request *request)
{
    struct identity *identity = &request->identity;
    char xff[FORWARDED_VALUES_MAX];
    char rfc7239[FORWARDED_VALUES_MAX];
    (void)join_header(request, "x-forwarded-for", xff);
    (void)join_header(request, "forwarded", rfc7239);
    enum forwarded_both both = forwarded_client_both(
        &identity->peer, xff, rfc7239, &request->valves->trusted_proxies, &identity->client);
    identity->client_uncertain = both != FORWARDED_BOTH_KNOWN;
    if (both == FORWARDED_BOTH_DIFFER) {
        counters_add(request->valves, METRIC_INDEX_forwarded_differ, 1);
        valves_security_event(request, "forwarded_differ",
                              "X-Forwarded-For and Forwarded name different clients; set "
                              "FORWARDED_BY to the one that your proxies write");
    }
}

static void resolve_client(struct request *request, const struct identity_headers *headers)
{
    struct identity *identity = &request->identity;
    struct valves *valves = request->valves;
    identity->client = identity->peer;
    identity->peer_is_proxy = cidr_list_has(&valves->trusted_proxies, &identity->peer);
    if (headers->xff == NULL && headers->forwarded == NULL)
        return;
    if (!identity->peer_is_proxy) {
        identity->forwarded_by_untrusted = true;
        note_untrusted_forwarding(request);
        return;
    }
    int by = valves_front_params(valves)->forwarded_by;
    if (by == FORWARDED_BY_AUTO && headers->xff != NULL && headers->forwarded != NULL) {
        resolve_by_both(request);
        return;
    }
    char values[FORWARDED_VALUES_MAX];
    if (by != FORWARDED_BY_FORWARDED && join_header(request, "x-forwarded-for", values))
        identity->client_uncertain = !forwarded_client_xff(
            &identity->peer, values, &valves->trusted_proxies, &identity->client);
    else if (by != FORWARDED_BY_XFF && join_header(request, "forwarded", values))
        identity->client_uncertain = !forwarded_client_rfc7239(
            &identity->peer, values, &valves->trusted_proxies, &identity->client);
}

static void take_tier(struct request *request, const char *text, size_t len)
{
    const char *name;
    for (uint32_t i = 0; (name = limit_tier_name(request->valves->limits, i)) != NULL; i++)
        if (claim_is(text, len, name)) {
            request->identity.tier = i;
            request->identity.tier_verified = true;
            return;
        }
    counters_add(request->valves, METRIC_INDEX_claims_invalid, 1);
}

static void take_region(struct request *request, const char *text, size_t len)
{
    if (!claim_region(text, len, &request->identity.region))
        counters_add(request->valves, METRIC_INDEX_claims_invalid, 1);
}

// X-API-Key too counts only from a trusted peer: whoever invents a new key for every request would
// otherwise have a new allowance for every request.
static void resolve_header_claims(struct request *request, const struct identity_headers *headers)
{
    const struct http_header *tier = headers->tier;
    const struct http_header *region = headers->region;
    const struct http_header *key = headers->api_key;
    if (tier == NULL && region == NULL && key == NULL)
        return;
    request->identity.peer_may_claim =
        cidr_list_has(&request->valves->trusted_claims, &request->identity.peer);
    if (!request->identity.peer_may_claim) {
        counters_add(request->valves, METRIC_INDEX_claims_untrusted, 1);
        return;
    }
    if (tier != NULL)
        take_tier(request, tier->value, tier->value_len);
    if (region != NULL)
        take_region(request, region->value, region->value_len);
    if (key != NULL && key->value_len > 0) {
        request->identity.api_key = key->value;
        request->identity.api_key_len = key->value_len;
    }
}

static void refuse_token(struct request *request, enum token_result result)
{
    struct identity *identity = &request->identity;
    identity->token_refused = true;
    identity->tier = LIMIT_TIER_FREE;
    identity->tier_verified = false;
    identity->api_key = NULL;
    identity->api_key_len = 0;
    valves_security_event(request, "token_refused", token_result_names[result]);
}

// A verified token outranks headers. A refused one takes every claim away: the request goes on as a
// free caller counted by address, because turning it away is the backend's right, not the valve's.
static void resolve_token(struct request *request, const struct http_header *header)
{
    struct valves *valves = request->valves;
    if (valves->tokens == NULL || header == NULL)
        return;
    const char *token = NULL;
    size_t len = 0;
    if (!token_from_authorization(header->value, header->value_len, &token, &len))
        return;
    struct token_claims claims;
    enum token_result result =
        token_verify(valves->tokens, token, len, clock_wall_ns() / NS_PER_S, &claims);
    counters_token(valves, result);
    if (result == TOKEN_NOT_JWT)
        return;
    if (result != TOKEN_VERIFIED && result != TOKEN_CACHED) {
        refuse_token(request, result);
        return;
    }
    struct identity *identity = &request->identity;
    memcpy(identity->subject_text, claims.subject, sizeof(identity->subject_text));
    identity->subject_len = strlen(identity->subject_text);
    identity->subject = identity->subject_len > 0 ? identity->subject_text : NULL;
    identity->scopes = claims.scopes;
    if (claims.tier[0] != '\0')
        take_tier(request, claims.tier, strlen(claims.tier));
    if (claims.region[0] != '\0')
        take_region(request, claims.region, strlen(claims.region));
}

enum step identity_resolve(struct request *request)
{
    struct identity *identity = &request->identity;
    valves_follow_limits(request->valves); // the names of tiers are those of the policies in force
    identity->tier = LIMIT_TIER_FREE;
    identity->region = LIMIT_REGIONS; // not claimed
    struct identity_headers headers;
    find_headers(request, &headers);
    resolve_client(request, &headers);
    resolve_header_claims(request, &headers);
    resolve_token(request, headers.authorization);
    if (identity->region == LIMIT_REGIONS)
        identity->region =
            region_of_caller(request->valves->limits, request->valves->regions, &identity->client);
    return STEP_NEXT;
}
