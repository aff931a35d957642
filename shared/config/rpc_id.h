// Ids of JSON-RPC calls as their callers wrote them: numbers beyond 64 bits and 1.0e2 go back byte
// by byte, which no parsed number does. Pure. Thread: any.
#ifndef VALVECHAIN_CONFIG_RPC_ID_H
#define VALVECHAIN_CONFIG_RPC_ID_H

#include <stdbool.h>
#include <stddef.h>

struct rpc_id { // in the body
    const char *text;
    size_t len; // 0: the call has none, or writes the member's name with escapes
};
struct rpc_ids { // one after the other
    const char *at, *end;
};

// Of a body that rpc_parse() takes: one call or a batch.
struct rpc_ids rpc_ids_of(const char *body, size_t len);
struct rpc_id rpc_ids_next(struct rpc_ids *ids);

// A copy in which each id that is a whole number of 19 digits or more is a text ("#NUMBER"), so
// that a parser of 64 bits takes it; free(). NULL: there is none, or no memory. Any bytes may come.
char *rpc_ids_as_text(const char *body, size_t len, size_t *ret_len);

#endif
