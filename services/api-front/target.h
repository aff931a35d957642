// The request target, normalized once: what is matched against routes and limits is what is sent.
//
//   origin-form     /path?query   accepted
//   absolute-form   http://host/path?query: accepted when its authority equals the Host header
//                   (RFC 9112 3.2.2 lets the target win; two different ones are a trick: refused)
//   asterisk-form   *             accepted for OPTIONS only
//   authority-form  host:port     refused
//
// Path: percent-escapes of unreserved characters are decoded, the rest keep theirs with upper-case
// digits (RFC 3986 6.2.2); "." segments and empty segments are dropped, so that a doubled slash
// cannot lead around a route or a limit. Refused: ".." segments in any spelling (also with a path
// parameter), encoded slashes, backslashes and control characters, bad escapes, fragments.
// Query: passed on as it came; controls, blanks and fragments are refused.
// Pure. Thread: any.
#ifndef VALVECHAIN_API_FRONT_TARGET_H
#define VALVECHAIN_API_FRONT_TARGET_H

#include <stdbool.h>
#include <stddef.h>

struct target {
    size_t path_len;     // of the path written
    size_t query_offset; // into the raw target, behind '?'; raw length when there is none
    bool asterisk;
};

enum target_verdict {
    TARGET_OK,
    TARGET_BAD_FORM,      // none of the forms, or a form that its method does not allow
    TARGET_BAD_AUTHORITY, // absolute-form that does not match Host, or with user information
    TARGET_BAD_ESCAPE,    // "%" without two hexadecimal digits
    TARGET_BAD_CHARACTER, // control, blank, backslash or fragment, raw or escaped
    TARGET_ENCODED_SLASH,
    TARGET_DOT_SEGMENT,
    TARGET_VERDICTS,
};

// One stable word each, for logs and problem bodies: "bad_escape".
extern const char *const target_verdict_names[TARGET_VERDICTS];
// One sentence each for the client: what is wrong and what is allowed.
extern const char *const target_verdict_details[TARGET_VERDICTS];

// `path` takes at least raw_len + 2 bytes and is NUL-terminated. `host` is the Host header's value
// ("" for none).
enum target_verdict target_normalize(const char *raw, size_t raw_len, const char *method,
                                     const char *host, char *path, struct target *ret_target);

#endif
