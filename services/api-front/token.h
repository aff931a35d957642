// Bearer tokens (JWT, RFC 7519): which are believed, and what they say about the caller.
// The key is chosen by the algorithm, never by the token alone: HS256 is only ever verified with
// JWT_SECRET, RS256 and ES256 only with JWT_PUBLIC_KEY, everything else (`none`, HS512, a public
// key used as an HMAC secret) is refused. `exp` and `nbf` always, `iss` and `aud` when configured.
// Verified tokens are cached by hash until they expire.
// Thread: one. Ownership: token_verifier_destroy().
#ifndef VALVECHAIN_API_FRONT_TOKEN_H
#define VALVECHAIN_API_FRONT_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/problems.h"
#include "request.h"

#define TOKEN_BYTES_MAX 8192
// The specification's example value: everybody knows it, so it is the same as none.
#define TOKEN_SECRET_PLACEHOLDER "your-secret-key"

enum token_result {
    TOKEN_VERIFIED,
    TOKEN_CACHED,   // verified before, and still good
    TOKEN_NOT_JWT,  // opaque: not three parts; the backend's business
    TOKEN_BAD_FORM, // too long, not base64url or JSON, a `crit` header, a claim of the wrong type
    TOKEN_BAD_ALGORITHM,
    TOKEN_BAD_SIGNATURE,
    TOKEN_EXPIRED,
    TOKEN_NOT_YET,
    TOKEN_BAD_ISSUER,
    TOKEN_BAD_AUDIENCE,
    TOKEN_RESULTS,
};
extern const char *const token_result_names[TOKEN_RESULTS]; // "verified", "bad_signature", ...

// Scopes of ours (RFC 8693 4.2: `scope` is a text with blanks between; a list is taken, too, and
// the claim `scp` of some issuers).
enum token_scope {
    TOKEN_SCOPE_ADMIN = 1u << 0,   // valvechain:admin
    TOKEN_SCOPE_PERMITS = 1u << 1, // valvechain:permits
};

struct token_claims {
    char subject[SUBJECT_MAX]; // "" for none; a longer one as the hash of it
    char tier[LIMIT_NAME_MAX]; // "" for none; as the token says it, not yet judged
    char region[16];
    unsigned scopes; // enum token_scope
};

struct token_options {
    const char *secret;                    // "" or the placeholder: no HS256
    const char *public_key;                // PEM text, NULL: no RS256 and ES256
    const char *issuer, *audience;         // "" for any
    const char *tier_claim, *region_claim; // comma-separated, a dot goes into an object
    uint64_t leeway_s;
    size_t cache_entries;
};

struct token_verifier;
// NULL in `ret_verifier` with 0 when there is no key at all. -EINVAL: the public key is not a PEM
// "PUBLIC KEY" of RSA (RS256 is pinned) or P-256 (ES256 is pinned); -ENOMEM.
int token_verifier_create(const struct token_options *options,
                          struct token_verifier **ret_verifier);
void token_verifier_destroy(struct token_verifier **verifier);
// `ret_claims` is filled for TOKEN_VERIFIED and TOKEN_CACHED only.
enum token_result token_verify(struct token_verifier *verifier, const char *token, size_t len,
                               uint64_t wall_s, struct token_claims *ret_claims);
// The token of "Authorization: Bearer ..."; false: another scheme or none.
bool token_from_authorization(const char *value, size_t value_len, const char **ret_token,
                              size_t *ret_len);

#endif
