// A JSON-RPC message as JSON: a call or an answer, or a batch of them. Pure. Thread: any.
#ifndef VALVECHAIN_CONFIG_RPC_JSON_H
#define VALVECHAIN_CONFIG_RPC_JSON_H

#include <jansson.h>
#include <stddef.h>

// The object, or the array that has one member at least; json_decref() it. NULL: neither, or no
// JSON, or JSON that another reader might understand differently (a NUL, a key twice). An id beyond
// 64 bits is a text there.
json_t *rpc_parse(const char *body, size_t len);
size_t rpc_count(const json_t *root);
const json_t *rpc_at(const json_t *root, size_t i); // of a single object i is 0

#endif
