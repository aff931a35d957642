// The Idempotency-Key field (draft-ietf-httpapi-idempotency-key-header-07: a structured-field
// string, "8e03978e"). Keys without quotes, as many services take them, are taken too.
// Pure. Thread: any.
#ifndef VALVECHAIN_API_FRONT_IDEMPOTENCY_H
#define VALVECHAIN_API_FRONT_IDEMPOTENCY_H

#include "http_syntax.h"

#define IDEMPOTENCY_KEY_MAX 255

enum idempotency { IDEMPOTENCY_NONE, IDEMPOTENCY_KEY, IDEMPOTENCY_BAD };
// KEY: *ret_key and *ret_len are its text without quotes (escapes stay as they are: the text only
// ever is compared). BAD: several fields, empty, longer than IDEMPOTENCY_KEY_MAX, or neither form.
enum idempotency idempotency_read(const struct http_header *headers, size_t n_headers,
                                  const char **ret_key, size_t *ret_len);

#endif
