#include "token.h"

#include <errno.h>
#include <jansson.h>
#include <jwt.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/parse.h"
#include "token_cache.h"

// A token without `exp` is good for ever; it is looked at again after this time all the same.
#define CACHE_WITHOUT_EXP_S 300

struct token_verifier {
    char *secret; // NULL: no HS256
    char *public_key;
    jwt_alg_t public_alg; // JWT_ALG_NONE: no public key
    char *issuer, *audience, *tier_claim, *region_claim;
    uint64_t leeway_s;
    struct token_cache *cache;
};

const char *const token_result_names[TOKEN_RESULTS] = {
    [TOKEN_VERIFIED] = "verified",
    [TOKEN_CACHED] = "cached",
    [TOKEN_NOT_JWT] = "not_jwt",
    [TOKEN_BAD_FORM] = "bad_form",
    [TOKEN_BAD_ALGORITHM] = "bad_algorithm",
    [TOKEN_BAD_SIGNATURE] = "bad_signature",
    [TOKEN_EXPIRED] = "expired",
    [TOKEN_NOT_YET] = "not_yet_valid",
    [TOKEN_BAD_ISSUER] = "bad_issuer",
    [TOKEN_BAD_AUDIENCE] = "bad_audience",
};

// The object identifiers in a SubjectPublicKeyInfo that say what the key is for (RFC 3279, 5480).
static const uint8_t oid_rsa[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01};
static const uint8_t oid_p256[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};

static jwt_alg_t public_key_algorithm(const char *pem)
{
    static const char begin[] = "-----BEGIN PUBLIC KEY-----";
    static const char end[] = "-----END PUBLIC KEY-----";
    const char *from = strstr(pem, begin);
    const char *to = from != NULL ? strstr(from, end) : NULL;
    if (to == NULL)
        return JWT_ALG_NONE;
    from += sizeof(begin) - 1;
    uint8_t der[4096];
    size_t der_len = 0;
    if (sodium_base642bin(der, sizeof(der), from, (size_t)(to - from), " \r\n\t", &der_len, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0)
        return JWT_ALG_NONE;
    // The algorithm stands before the key itself, so chance bytes of a key are not looked at.
    size_t head = der_len < 32 ? der_len : 32;
    if (memmem(der, head, oid_rsa, sizeof(oid_rsa)) != NULL)
        return JWT_ALG_RS256;
    if (memmem(der, head, oid_p256, sizeof(oid_p256)) != NULL)
        return JWT_ALG_ES256;
    return JWT_ALG_NONE;
}

static bool copy(char **into, const char *text)
{
    *into = strdup(text != NULL ? text : "");
    return *into != NULL;
}

int token_verifier_create(const struct token_options *options, struct token_verifier **ret_verifier)
{
    bool has_secret =
        options->secret[0] != '\0' && strcmp(options->secret, TOKEN_SECRET_PLACEHOLDER) != 0;
    if (!has_secret && options->public_key == NULL) {
        *ret_verifier = NULL;
        return 0;
    }
    jwt_alg_t public_alg = JWT_ALG_NONE;
    if (options->public_key != NULL)
        public_alg = public_key_algorithm(options->public_key);
    if (options->public_key != NULL && public_alg == JWT_ALG_NONE)
        return -EINVAL;
    struct token_verifier *verifier = calloc(1, sizeof(*verifier));
    if (verifier == NULL)
        return -ENOMEM;
    verifier->leeway_s = options->leeway_s;
    verifier->public_alg = public_alg;
    bool ok = copy(&verifier->issuer, options->issuer) &&
              copy(&verifier->audience, options->audience) &&
              copy(&verifier->tier_claim, options->tier_claim) &&
              copy(&verifier->region_claim, options->region_claim) &&
              (!has_secret || copy(&verifier->secret, options->secret)) &&
              (public_alg == JWT_ALG_NONE || copy(&verifier->public_key, options->public_key)) &&
              token_cache_create(options->cache_entries, &verifier->cache) == 0;
    if (!ok) {
        token_verifier_destroy(&verifier);
        return -ENOMEM;
    }
    *ret_verifier = verifier;
    return 0;
}

void token_verifier_destroy(struct token_verifier **verifier)
{
    struct token_verifier *v = *verifier;
    if (v == NULL)
        return;
    if (v->secret != NULL)
        sodium_memzero(v->secret, strlen(v->secret));
    free(v->secret);
    free(v->public_key);
    free(v->issuer);
    free(v->audience);
    free(v->tier_claim);
    free(v->region_claim);
    token_cache_destroy(&v->cache);
    free(v);
    *verifier = NULL;
}

bool token_from_authorization(const char *value, size_t value_len, const char **ret_token,
                              size_t *ret_len)
{
    static const char scheme[] = "Bearer ";
    if (value_len < sizeof(scheme) - 1 || strncasecmp(value, scheme, sizeof(scheme) - 1) != 0)
        return false;
    const char *token = value + sizeof(scheme) - 1;
    const char *end = value + value_len;
    while (token < end && *token == ' ')
        token++;
    while (end > token && end[-1] == ' ')
        end--;
    *ret_token = token;
    *ret_len = (size_t)(end - token);
    return end > token;
}

// Exactly three parts of base64url: TOKEN_VERIFIED, else NOT_JWT or BAD_FORM.
static enum token_result form_of(const char *token, size_t len)
{
    unsigned dots = 0;
    bool clean = true;
    for (size_t i = 0; i < len; i++) {
        char c = token[i];
        bool is_base64url = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                            (c >= '0' && c <= '9') || c == '-' || c == '_';
        dots += c == '.';
        clean = clean && (is_base64url || c == '.');
    }
    if (dots != 2)
        return TOKEN_NOT_JWT;
    return clean && len <= TOKEN_BYTES_MAX ? TOKEN_VERIFIED : TOKEN_BAD_FORM;
}

static json_t *decode_header(const char *token)
{
    const char *dot = strchr(token, '.');
    char text[TOKEN_BYTES_MAX];
    size_t text_len = 0;
    if (sodium_base642bin((uint8_t *)text, sizeof(text), token, (size_t)(dot - token), NULL,
                          &text_len, NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
        return NULL;
    return json_loadb(text, text_len, JSON_REJECT_DUPLICATES, NULL);
}

static enum token_result choose_key(const struct token_verifier *verifier, const char *token,
                                    jwt_alg_t *ret_alg, const char **ret_key)
{
    json_t *header = decode_header(token);
    if (!json_is_object(header)) {
        json_decref(header);
        return TOKEN_BAD_FORM;
    }
    // RFC 7515 4.1.11: extensions marked critical that we do not know make the token invalid.
    bool critical = json_object_get(header, "crit") != NULL;
    const char *name = json_string_value(json_object_get(header, "alg"));
    jwt_alg_t alg = JWT_ALG_NONE;
    if (name != NULL && strcmp(name, "HS256") == 0 && verifier->secret != NULL)
        alg = JWT_ALG_HS256;
    else if (name != NULL && verifier->public_alg != JWT_ALG_NONE &&
             strcmp(name, jwt_alg_str(verifier->public_alg)) == 0)
        alg = verifier->public_alg;
    json_decref(header);
    if (critical)
        return TOKEN_BAD_FORM;
    if (alg == JWT_ALG_NONE)
        return TOKEN_BAD_ALGORITHM;
    *ret_alg = alg;
    *ret_key = alg == JWT_ALG_HS256 ? verifier->secret : verifier->public_key;
    return TOKEN_VERIFIED;
}

// A NumericDate may have a fraction (RFC 7519 2). False: there and no number, or out of range.
static bool numeric_date(const json_t *claims, const char *name, bool *ret_there, double *ret_value)
{
    const json_t *value = json_object_get(claims, name);
    *ret_there = value != NULL;
    if (value == NULL)
        return true;
    *ret_value = json_number_value(value);
    return json_is_number(value) && *ret_value >= 0 && *ret_value < 1e15;
}

static bool audience_fits(const json_t *claims, const char *audience)
{
    const json_t *aud = json_object_get(claims, "aud");
    if (json_is_string(aud))
        return strcmp(json_string_value(aud), audience) == 0;
    for (size_t i = 0; i < json_array_size(aud); i++) {
        const char *item = json_string_value(json_array_get(aud, i));
        if (item != NULL && strcmp(item, audience) == 0)
            return true;
    }
    return false;
}

static enum token_result judge_claims(const struct token_verifier *verifier, const json_t *claims,
                                      uint64_t wall_s, uint64_t *ret_until_s)
{
    bool has_exp;
    bool has_nbf;
    double exp = 0;
    double nbf = 0;
    if (!numeric_date(claims, "exp", &has_exp, &exp) ||
        !numeric_date(claims, "nbf", &has_nbf, &nbf))
        return TOKEN_BAD_FORM;
    double now = (double)wall_s;
    double leeway = (double)verifier->leeway_s;
    if (has_exp && now >= exp + leeway)
        return TOKEN_EXPIRED;
    if (has_nbf && now + leeway < nbf)
        return TOKEN_NOT_YET;
    const char *iss = json_string_value(json_object_get(claims, "iss"));
    if (verifier->issuer[0] != '\0' && (iss == NULL || strcmp(iss, verifier->issuer) != 0))
        return TOKEN_BAD_ISSUER;
    if (verifier->audience[0] != '\0' && !audience_fits(claims, verifier->audience))
        return TOKEN_BAD_AUDIENCE;
    *ret_until_s = has_exp ? (uint64_t)(exp + leeway) : wall_s + CACHE_WITHOUT_EXP_S;
    return TOKEN_VERIFIED;
}

// The first of the comma-separated claim paths that is a text.
static const char *text_claim(const json_t *claims, const char *paths)
{
    const char *path = NULL;
    size_t len = 0;
    while (parse_list_next(&paths, &path, &len)) {
        const json_t *value = claims;
        while (len > 0 && value != NULL) {
            const char *dot = memchr(path, '.', len);
            size_t part = dot != NULL ? (size_t)(dot - path) : len;
            char name[64];
            if (part >= sizeof(name))
                break;
            memcpy(name, path, part);
            name[part] = '\0';
            value = json_object_get(value, name);
            size_t step = dot != NULL ? part + 1 : part;
            path += step;
            len -= step;
        }
        if (len == 0 && json_is_string(value))
            return json_string_value(value);
    }
    return "";
}

static unsigned scope_bit(const char *word, size_t len)
{
    static const char *const words[] = {"valvechain:admin", "valvechain:permits"};
    for (unsigned i = 0; i < 2; i++)
        if (strlen(words[i]) == len && memcmp(words[i], word, len) == 0)
            return 1u << i;
    return 0;
}

static unsigned scopes_in(const json_t *claim)
{
    unsigned scopes = 0;
    const char *text = json_is_string(claim) ? json_string_value(claim) : "";
    for (size_t len; *text != '\0'; text += len + (text[len] != '\0')) {
        len = strcspn(text, " ");
        scopes |= scope_bit(text, len);
    }
    for (size_t i = 0; i < json_array_size(claim); i++) {
        const json_t *item = json_array_get(claim, i);
        if (json_is_string(item))
            scopes |= scope_bit(json_string_value(item), json_string_length(item));
    }
    return scopes;
}

static void fill_claims(const struct token_verifier *verifier, const json_t *json,
                        struct token_claims *claims)
{
    *claims = (struct token_claims){0};
    const char *subject = json_string_value(json_object_get(json, "sub"));
    size_t len = subject != NULL ? strlen(subject) : 0;
    if (len > 0 && len < sizeof(claims->subject)) {
        memcpy(claims->subject, subject, len);
    } else if (len > 0) {
        uint8_t hash[32];
        (void)crypto_generichash(hash, sizeof(hash), (const uint8_t *)subject, len, NULL, 0);
        (void)sodium_bin2hex(claims->subject, sizeof(claims->subject), hash, sizeof(hash));
    }
    claims->scopes =
        scopes_in(json_object_get(json, "scope")) | scopes_in(json_object_get(json, "scp"));
    const char *tier = text_claim(json, verifier->tier_claim);
    const char *region = text_claim(json, verifier->region_claim);
    if (strlen(tier) < sizeof(claims->tier)) // a longer one names no tier
        memcpy(claims->tier, tier, strlen(tier));
    if (strlen(region) < sizeof(claims->region))
        memcpy(claims->region, region, strlen(region));
}

static enum token_result verify_text(const struct token_verifier *verifier, const char *text,
                                     uint64_t wall_s, struct token_claims *ret_claims,
                                     uint64_t *ret_until_s)
{
    jwt_alg_t alg = JWT_ALG_NONE;
    const char *key = NULL;
    enum token_result result = choose_key(verifier, text, &alg, &key);
    if (result != TOKEN_VERIFIED)
        return result;
    jwt_t *jwt = NULL;
    if (jwt_decode(&jwt, text, (const unsigned char *)key, (int)strlen(key)) != 0)
        return TOKEN_BAD_SIGNATURE;
    char *grants = jwt_get_alg(jwt) == alg ? jwt_get_grants_json(jwt, NULL) : NULL;
    jwt_free(jwt);
    json_t *claims = grants != NULL ? json_loads(grants, 0, NULL) : NULL;
    free(grants);
    result = json_is_object(claims) ? judge_claims(verifier, claims, wall_s, ret_until_s)
                                    : TOKEN_BAD_FORM;
    if (result == TOKEN_VERIFIED)
        fill_claims(verifier, claims, ret_claims);
    json_decref(claims);
    return result;
}

enum token_result token_verify(struct token_verifier *verifier, const char *token, size_t len,
                               uint64_t wall_s, struct token_claims *ret_claims)
{
    enum token_result form = form_of(token, len);
    if (form != TOKEN_VERIFIED)
        return form;
    uint8_t hash[TOKEN_HASH_BYTES];
    token_cache_hash(verifier->cache, token, len, hash);
    const struct token_claims *known = token_cache_find(verifier->cache, hash, wall_s);
    if (known != NULL) {
        *ret_claims = *known;
        return TOKEN_CACHED;
    }
    char text[TOKEN_BYTES_MAX + 1];
    memcpy(text, token, len);
    text[len] = '\0';
    uint64_t until_s = 0;
    enum token_result result = verify_text(verifier, text, wall_s, ret_claims, &until_s);
    if (result == TOKEN_VERIFIED)
        token_cache_put(verifier->cache, hash, ret_claims, until_s);
    return result;
}
