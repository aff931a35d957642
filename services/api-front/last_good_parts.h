// Between last_good.c and last_good_rpc.c. Thread: the loop's.
#ifndef VALVECHAIN_API_FRONT_LAST_GOOD_PARTS_H
#define VALVECHAIN_API_FRONT_LAST_GOOD_PARTS_H

#include "answer_store.h"
#include "last_good.h"

// What is asked: by the target alone, or (method not NULL) by a JSON-RPC call to it.
void last_good_key(const struct request *request, const char *rpc_method, const char *rpc_params,
                   struct answer_key *ret_key);
// Status, terms, vary (whose text is the caller's) and time. False: it may not be kept.
bool last_good_record(const struct request *request, const struct upstream_answer *answer,
                      struct strbuf *vary, struct answer_record *record);
// What may be given now; answer_store_release() it. NULL: nothing.
struct stored_answer *last_good_find(struct request *request, const struct answer_key *key,
                                     const struct config_fallback *fallback);
uint64_t last_good_resident_s(const struct stored_answer *stored);
// Marks the answer as one of this fallback, and counts it.
void last_good_mark(struct request *request, uint64_t age_s, uint64_t stale_age_s);

// last_good_rpc.c: of a POST on a route whose `cache` declares JSON-RPC reads.
void last_good_keep_rpc(struct request *request, const struct config_fallback *fallback,
                        const struct upstream_answer *answer, const char *body, size_t len);
bool last_good_answer_rpc(struct request *request, const struct config_fallback *fallback);

#endif
