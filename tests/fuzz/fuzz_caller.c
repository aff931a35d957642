// fuzz-links: service_api-front
// Who asks, by what he sends: forwarding headers, bearer tokens, claims. Whatever the bytes, nobody
// becomes what was not vouched for: no token without our key is verified, and a forwarded client is
// either a trusted hop or the first one that a trusted hop named.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "forwarded.h"
#include "limit/claims.h"
#include "token.h"

static void forwarded(const uint8_t *data, size_t len)
{
    char *values = calloc(1, len + 1); // header values hold no NUL, so text ends at the first one
    struct cidr_list trusted;
    ASSERT(values != NULL && cidr_list_parse("loopback,10.0.0.0/8", &trusted, NULL) == 0);
    memcpy(values, data, len);
    struct address peer;
    ASSERT(address_parse("127.0.0.1", 9, &peer) == 0);
    struct address client;
    if (!forwarded_client_xff(&peer, values, &trusted, &client))
        ASSERT(cidr_list_has(&trusted, &client));
    if (!forwarded_client_rfc7239(&peer, values, &trusted, &client))
        ASSERT(cidr_list_has(&trusted, &client));
    // What our own proxy appends wins over everything a client can put before it.
    char *appended = malloc(len + 64);
    ASSERT(appended != NULL);
    strcpy(stpcpy(appended, values), ", 203.0.113.9");
    char text[ADDRESS_TEXT_MAX];
    ASSERT(forwarded_client_xff(&peer, appended, &trusted, &client));
    (void)address_format(&client, text);
    ASSERT(strcmp(text, "203.0.113.9") == 0);
    strcpy(stpcpy(appended, values), ", for=\"[2001:db8::7]:80\"");
    if (forwarded_client_rfc7239(&peer, appended, &trusted, &client)) {
        (void)address_format(&client, text);
        ASSERT(strcmp(text, "2001:db8::7") == 0);
    }
    free(appended);
    free(values);
    cidr_list_fini(&trusted);
}

static void tokens(const uint8_t *data, size_t len)
{
    static struct token_verifier *verifier;
    struct token_options options = {.secret =
                                        "a secret that no input of the fuzzer has signed with",
                                    .issuer = "",
                                    .audience = "",
                                    .tier_claim = "tier",
                                    .region_claim = "region",
                                    .cache_entries = 16};
    if (verifier == NULL)
        ASSERT(token_verifier_create(&options, &verifier) == 0 && verifier != NULL);
    const char *token;
    size_t token_len;
    struct token_claims claims;
    if (!token_from_authorization((const char *)data, len, &token, &token_len))
        return;
    enum token_result result = token_verify(verifier, token, token_len, 1800000000, &claims);
    ASSERT(result != TOKEN_VERIFIED && result != TOKEN_CACHED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint32_t value = 99;
    forwarded(data, len);
    tokens(data, len);
    if (claim_is((const char *)data, len, "premium"))
        ASSERT(len == strlen("premium"));
    if (claim_region((const char *)data, len, &value))
        ASSERT(value <= 3);
    return 0;
}
