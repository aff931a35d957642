#include <criterion/criterion.h>
#include <errno.h>
#include <jwt.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "token.h"
#include "token_cache.h"
#include "token_keys.h"

#define NOW    1800000000ULL
#define SECRET "0123456789abcdef0123456789abcdef"

static struct token_options options(void)
{
    return (struct token_options){.secret = SECRET,
                                  .issuer = "",
                                  .audience = "",
                                  .tier_claim = "tier,subscription.tier,subscription",
                                  .region_claim = "region",
                                  .leeway_s = 10,
                                  .cache_entries = 64};
}

static char *make(jwt_alg_t alg, const char *key, const char *claims)
{
    jwt_t *jwt = NULL;
    cr_assert_eq(jwt_new(&jwt), 0);
    cr_assert_eq(jwt_add_grants_json(jwt, claims), 0);
    cr_assert_eq(
        jwt_set_alg(jwt, alg, (const unsigned char *)key, key != NULL ? (int)strlen(key) : 0), 0);
    char *token = jwt_encode_str(jwt);
    cr_assert_not_null(token);
    jwt_free(jwt);
    return token;
}

static enum token_result verify_at(const struct token_options *opts, const char *token,
                                   uint64_t now_s, struct token_claims *claims)
{
    struct token_verifier *verifier = NULL;
    cr_assert_eq(token_verifier_create(opts, &verifier), 0);
    cr_assert_not_null(verifier);
    enum token_result result = token_verify(verifier, token, strlen(token), now_s, claims);
    token_verifier_destroy(&verifier);
    cr_assert_null(verifier);
    return result;
}

static enum token_result verify(const struct token_options *opts, const char *token)
{
    struct token_claims claims;
    return verify_at(opts, token, NOW, &claims);
}

static void expect_hs256(const char *claims, enum token_result expected)
{
    struct token_options opts = options();
    char *token = make(JWT_ALG_HS256, SECRET, claims);
    enum token_result result = verify(&opts, token);
    cr_expect_eq(result, expected, "%s: %s", claims, token_result_names[result]);
    free(token);
}

// A token from a header and claims given as text, signed by HMAC-SHA256 if there is a key.
static char *make_raw(const char *header, const char *claims, const char *key)
{
    char *token = calloc(1, 8192);
    sodium_bin2base64(token, 4096, (const uint8_t *)header, strlen(header),
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    strcat(token, ".");
    size_t at = strlen(token);
    sodium_bin2base64(token + at, 4096, (const uint8_t *)claims, strlen(claims),
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    uint8_t mac[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, (const uint8_t *)key, strlen(key));
    crypto_auth_hmacsha256_update(&state, (const uint8_t *)token, strlen(token));
    crypto_auth_hmacsha256_final(&state, mac);
    strcat(token, ".");
    at = strlen(token);
    if (key[0] != '\0')
        sodium_bin2base64(token + at, 4096, mac, sizeof(mac),
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    return token;
}

static void expect_raw(const char *header, const char *claims, const char *key,
                       enum token_result expected)
{
    struct token_options opts = options();
    opts.public_key = rsa_public;
    char *token = make_raw(header, claims, key);
    enum token_result result = verify(&opts, token);
    cr_expect_eq(result, expected, "%s %s: %s", header, claims, token_result_names[result]);
    free(token);
}

Test(token, a_good_token_says_who_and_which_tier)
{
    struct token_options opts = options();
    char *token = make(JWT_ALG_HS256, SECRET,
                       "{\"sub\":\"alice\",\"tier\":\"premium\",\"region\":\"europe\","
                       "\"exp\":1800000100}");
    struct token_claims claims;
    cr_assert_eq(verify_at(&opts, token, NOW, &claims), TOKEN_VERIFIED);
    cr_expect_str_eq(claims.subject, "alice");
    cr_expect_str_eq(claims.tier, "premium");
    cr_expect_str_eq(claims.region, "europe");
    free(token);
}

Test(token, the_tier_is_found_in_the_subscription_too)
{
    struct token_options opts = options();
    struct token_claims claims;
    char *nested = make(JWT_ALG_HS256, SECRET, "{\"subscription\":{\"tier\":\"enterprise\"}}");
    cr_assert_eq(verify_at(&opts, nested, NOW, &claims), TOKEN_VERIFIED);
    cr_expect_str_eq(claims.tier, "enterprise");
    cr_expect_str_eq(claims.subject, "");
    char *text = make(JWT_ALG_HS256, SECRET, "{\"tier\":7,\"subscription\":\"premium\"}");
    cr_assert_eq(verify_at(&opts, text, NOW, &claims), TOKEN_VERIFIED);
    cr_expect_str_eq(claims.tier, "premium", "a tier that is no text is not one");
    free(nested);
    free(text);
}

Test(token, a_long_subject_is_kept_as_its_hash)
{
    struct token_options opts = options();
    char json[512] = "{\"sub\":\"";
    for (int i = 0; i < 300; i++)
        strcat(json, "x");
    strcat(json, "\"}");
    char *token = make(JWT_ALG_HS256, SECRET, json);
    struct token_claims claims;
    cr_assert_eq(verify_at(&opts, token, NOW, &claims), TOKEN_VERIFIED);
    cr_expect_eq(strlen(claims.subject), 64);
    free(token);
}

Test(token, none_and_other_algorithms_are_refused)
{
    struct token_options opts = options();
    char *none = make(JWT_ALG_NONE, NULL, "{\"tier\":\"enterprise\"}");
    cr_expect_eq(verify(&opts, none), TOKEN_BAD_ALGORITHM);
    char *hs512 = make(JWT_ALG_HS512, SECRET, "{\"tier\":\"enterprise\"}");
    cr_expect_eq(verify(&opts, hs512), TOKEN_BAD_ALGORITHM);
    char *rs256 = make(JWT_ALG_RS256, rsa_private, "{\"tier\":\"enterprise\"}");
    cr_expect_eq(verify(&opts, rs256), TOKEN_BAD_ALGORITHM, "no public key configured");
    free(none);
    free(hs512);
    free(rs256);
    expect_raw("{\"alg\":\"none\"}", "{\"tier\":\"enterprise\"}", "", TOKEN_BAD_ALGORITHM);
    expect_raw("{\"alg\":\"None\"}", "{}", "", TOKEN_BAD_ALGORITHM);
    expect_raw("{\"alg\":\"hs256\"}", "{}", SECRET, TOKEN_BAD_ALGORITHM);
    expect_raw("{}", "{}", SECRET, TOKEN_BAD_ALGORITHM);
    expect_raw("{\"alg\":256}", "{}", SECRET, TOKEN_BAD_ALGORITHM);
}

Test(token, the_public_key_is_never_an_hmac_secret)
{
    // Both keys configured: HS256 with the public key's text, and with none of either.
    expect_raw("{\"alg\":\"HS256\"}", "{\"tier\":\"enterprise\"}", rsa_public, TOKEN_BAD_SIGNATURE);
    struct token_options only_public = options();
    only_public.secret = "";
    only_public.public_key = rsa_public;
    char *token = make(JWT_ALG_HS256, rsa_public, "{\"tier\":\"enterprise\"}");
    cr_expect_eq(verify(&only_public, token), TOKEN_BAD_ALGORITHM);
    free(token);
}

Test(token, rs256_and_es256_by_the_kind_of_the_public_key)
{
    char *rs = make(JWT_ALG_RS256, rsa_private, "{\"tier\":\"premium\"}");
    char *es = make(JWT_ALG_ES256, ec_private, "{\"tier\":\"premium\"}");
    struct token_options opts = options();
    opts.public_key = rsa_public;
    cr_expect_eq(verify(&opts, rs), TOKEN_VERIFIED);
    cr_expect_eq(verify(&opts, es), TOKEN_BAD_ALGORITHM);
    opts.public_key = ec_public;
    cr_expect_eq(verify(&opts, es), TOKEN_VERIFIED);
    cr_expect_eq(verify(&opts, rs), TOKEN_BAD_ALGORITHM);
    free(rs);
    free(es);
}

Test(token, keys_that_fit_no_algorithm_are_refused_at_start)
{
    const char *const bad[] = {"", "nonsense", rsa_private, ec384_public,
                               "-----BEGIN PUBLIC KEY-----\n!!\n-----END PUBLIC KEY-----\n"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct token_options opts = options();
        opts.public_key = bad[i];
        struct token_verifier *verifier = NULL;
        cr_expect_eq(token_verifier_create(&opts, &verifier), -EINVAL, "%zu", i);
        cr_expect_null(verifier);
    }
}

Test(token, no_key_or_the_placeholder_is_off)
{
    const char *const off[] = {"", TOKEN_SECRET_PLACEHOLDER};
    for (size_t i = 0; i < 2; i++) {
        struct token_options opts = options();
        opts.secret = off[i];
        struct token_verifier *verifier = (struct token_verifier *)(uintptr_t)1;
        cr_expect_eq(token_verifier_create(&opts, &verifier), 0);
        cr_expect_null(verifier);
    }
}

Test(token, times_are_checked_with_leeway)
{
    expect_hs256("{\"exp\":1800000001}", TOKEN_VERIFIED);
    expect_hs256("{\"exp\":1799999991}", TOKEN_VERIFIED); // 9 s ago
    expect_hs256("{\"exp\":1799999990}", TOKEN_EXPIRED);
    expect_hs256("{\"exp\":1}", TOKEN_EXPIRED);
    expect_hs256("{\"exp\":1800000000.5}", TOKEN_VERIFIED);
    expect_hs256("{\"nbf\":1800000010}", TOKEN_VERIFIED);
    expect_hs256("{\"nbf\":1800000011}", TOKEN_NOT_YET);
    expect_hs256("{\"exp\":\"1800000001\"}", TOKEN_BAD_FORM);
    expect_hs256("{\"exp\":-5}", TOKEN_BAD_FORM);
    expect_hs256("{\"nbf\":null}", TOKEN_BAD_FORM);
}

Test(token, issuer_and_audience_when_asked_for)
{
    struct token_options opts = options();
    opts.issuer = "https://id.example";
    opts.audience = "valves";
    const struct {
        const char *claims;
        enum token_result expected;
    } cases[] = {
        {"{\"iss\":\"https://id.example\",\"aud\":\"valves\"}", TOKEN_VERIFIED},
        {"{\"iss\":\"https://id.example\",\"aud\":[\"x\",\"valves\"]}", TOKEN_VERIFIED},
        {"{\"iss\":\"https://id.example\",\"aud\":[]}", TOKEN_BAD_AUDIENCE},
        {"{\"iss\":\"https://id.example\",\"aud\":\"valvesX\"}", TOKEN_BAD_AUDIENCE},
        {"{\"iss\":\"https://id.example\"}", TOKEN_BAD_AUDIENCE},
        {"{\"iss\":\"https://evil.example\",\"aud\":\"valves\"}", TOKEN_BAD_ISSUER},
        {"{\"aud\":\"valves\"}", TOKEN_BAD_ISSUER},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *token = make(JWT_ALG_HS256, SECRET, cases[i].claims);
        enum token_result result = verify(&opts, token);
        cr_expect_eq(result, cases[i].expected, "%s: %s", cases[i].claims,
                     token_result_names[result]);
        free(token);
    }
}

Test(token, garbage_is_refused_and_opaque_is_left_alone)
{
    struct token_options opts = options();
    const struct {
        const char *token;
        enum token_result expected;
    } cases[] = {
        {"opaque-token", TOKEN_NOT_JWT}, {"a.b", TOKEN_NOT_JWT},
        {"a.b.c.d", TOKEN_NOT_JWT},      {"a.b.c", TOKEN_BAD_FORM},
        {"..", TOKEN_BAD_FORM},          {"e30.e30.", TOKEN_BAD_ALGORITHM},
        {"e30.e30.=", TOKEN_BAD_FORM},   {"e30 .e30.x", TOKEN_BAD_FORM},
        {"W10.e30.x", TOKEN_BAD_FORM}, // header is an array
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum token_result result = verify(&opts, cases[i].token);
        cr_expect_eq(result, cases[i].expected, "%s: %s", cases[i].token,
                     token_result_names[result]);
    }
    expect_raw("{\"alg\":\"HS256\",\"crit\":[\"b64\"]}", "{}", SECRET, TOKEN_BAD_FORM);
    expect_raw("{\"alg\":\"HS256\",\"alg\":\"none\"}", "{}", SECRET, TOKEN_BAD_FORM);
    expect_raw("{\"alg\":\"HS256\"}", "[]", SECRET, TOKEN_BAD_FORM);
    expect_raw("{\"alg\":\"HS256\"}", "{}", SECRET, TOKEN_VERIFIED);
}

Test(token, every_changed_byte_is_noticed)
{
    struct token_options opts = options();
    char *token = make(JWT_ALG_HS256, SECRET, "{\"sub\":\"alice\",\"tier\":\"free\"}");
    size_t len = strlen(token);
    for (size_t i = 0; i < len; i++) {
        char kept = token[i];
        // Two letters that differ in their highest bit, so that the last letter's spare bits, which
        // mean nothing, are not all that changes.
        token[i] = kept == 'A' ? 'w' : 'A';
        enum token_result result = verify(&opts, token);
        cr_expect(result != TOKEN_VERIFIED, "byte %zu", i);
        token[i] = kept;
    }
    cr_expect_eq(verify(&opts, token), TOKEN_VERIFIED);
    free(token);
}

Test(token, too_long_is_refused)
{
    struct token_options opts = options();
    char *token = malloc(TOKEN_BYTES_MAX + 16);
    memset(token, 'a', TOKEN_BYTES_MAX + 15);
    token[TOKEN_BYTES_MAX + 15] = '\0';
    token[5] = token[10] = '.';
    cr_expect_eq(verify(&opts, token), TOKEN_BAD_FORM);
    free(token);
}

Test(token, verified_tokens_are_cached_until_they_expire)
{
    struct token_options opts = options();
    struct token_verifier *verifier = NULL;
    cr_assert_eq(token_verifier_create(&opts, &verifier), 0);
    char *token = make(JWT_ALG_HS256, SECRET, "{\"sub\":\"bob\",\"exp\":1800000020}");
    struct token_claims claims;
    size_t len = strlen(token);
    cr_expect_eq(token_verify(verifier, token, len, NOW, &claims), TOKEN_VERIFIED);
    claims = (struct token_claims){0};
    cr_expect_eq(token_verify(verifier, token, len, NOW + 29, &claims), TOKEN_CACHED);
    cr_expect_str_eq(claims.subject, "bob");
    cr_expect_eq(token_verify(verifier, token, len, NOW + 30, &claims), TOKEN_EXPIRED);
    free(token);
    token_verifier_destroy(&verifier);
}

Test(token, refused_tokens_are_not_cached)
{
    struct token_options opts = options();
    struct token_verifier *verifier = NULL;
    cr_assert_eq(token_verifier_create(&opts, &verifier), 0);
    char *token = make(JWT_ALG_HS256, "another secret of some length", "{\"sub\":\"eve\"}");
    struct token_claims claims;
    for (int i = 0; i < 2; i++)
        cr_expect_eq(token_verify(verifier, token, strlen(token), NOW, &claims),
                     TOKEN_BAD_SIGNATURE);
    free(token);
    token_verifier_destroy(&verifier);
}

Test(token, the_cache_is_bounded_and_drops_the_longest_unused)
{
    struct token_cache *cache = NULL;
    cr_assert_eq(token_cache_create(4, &cache), 0); // one set of four
    uint8_t hashes[5][TOKEN_HASH_BYTES];
    struct token_claims claims = {.subject = ""};
    for (unsigned i = 0; i < 5; i++) {
        memset(hashes[i], (int)i + 1, TOKEN_HASH_BYTES);
        if (i == 4) // the first was used again, so the second goes
            cr_expect_not_null(token_cache_find(cache, hashes[0], NOW));
        token_cache_put(cache, hashes[i], &claims, NOW + 10);
    }
    cr_expect_not_null(token_cache_find(cache, hashes[0], NOW));
    cr_expect_null(token_cache_find(cache, hashes[1], NOW));
    for (unsigned i = 2; i < 5; i++)
        cr_expect_not_null(token_cache_find(cache, hashes[i], NOW));
    cr_expect_null(token_cache_find(cache, hashes[4], NOW + 10));
    token_cache_destroy(&cache);
}

Test(token, bearer_only)
{
    const char *token = NULL;
    size_t len = 0;
    cr_expect(token_from_authorization("bearer  abc ", 12, &token, &len));
    cr_expect_eq(len, 3);
    cr_expect_eq(strncmp(token, "abc", 3), 0);
    cr_expect_not(token_from_authorization("Basic abc", 9, &token, &len));
    cr_expect_not(token_from_authorization("Bearer ", 7, &token, &len));
    cr_expect_not(token_from_authorization("Bearer", 6, &token, &len));
    cr_expect_not(token_from_authorization("", 0, &token, &len));
}

static void expect_scopes(const char *claims, unsigned expected)
{
    struct token_options opts = options();
    struct token_claims told;
    char *token = make(JWT_ALG_HS256, SECRET, claims);
    cr_assert_eq(verify_at(&opts, token, NOW, &told), TOKEN_VERIFIED);
    cr_expect_eq(told.scopes, expected, "%s: %u", claims, told.scopes);
    free(token);
}

Test(token, scopes_are_whole_words)
{
    expect_scopes("{\"sub\":\"a\"}", 0);
    expect_scopes("{\"scope\":\"openid valvechain:admin\"}", TOKEN_SCOPE_ADMIN);
    expect_scopes("{\"scope\":\"valvechain:permits  valvechain:admin \"}",
                  TOKEN_SCOPE_ADMIN | TOKEN_SCOPE_PERMITS);
    expect_scopes("{\"scp\":[\"valvechain:permits\",7,\"x\"]}", TOKEN_SCOPE_PERMITS);
    expect_scopes("{\"scope\":\"valvechain:adminx xvalvechain:permits valvechain:\"}", 0);
    expect_scopes("{\"scope\":{\"valvechain:admin\":true}}", 0);
}
