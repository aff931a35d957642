// What operators decide at run time, in the segment: networks that are denied or allowed, and
// limits of single keys. Owner: the limiter, which writes a whole book and makes it active; every
// process follows by one look at the generation. Entries end by themselves, whether the limiter
// is there or not: readers judge networks by their end, and limits of keys by the end that is
// published with the policies. It all survives the limiter,
// which reads it back. Thread: one writer, any readers.
#ifndef VALVECHAIN_LIMIT_OPERATOR_H
#define VALVECHAIN_LIMIT_OPERATOR_H

#include <stdatomic.h>

#include "limit/policy_set.h"
#include "shm/segment.h"

#define OPERATOR_SECTION       "limit-operator"
#define OPERATOR_NETWORKS_MAX  256
#define OPERATOR_OVERRIDES_MAX 64
#define OPERATOR_TEXT_MAX      96

enum operator_list { OPERATOR_DENY, OPERATOR_ALLOW };
struct operator_network {
    struct cidr cidr;
    uint8_t list; // enum operator_list
    uint8_t reserved[4];
    uint64_t until_ns; // CLOCK_MONOTONIC; 0: for good
};
struct operator_override {
    char policy[LIMIT_NAME_MAX];
    struct limit_key key;
    uint64_t limit, until_ns; // limit UINT64_MAX: unlimited
    char who[OPERATOR_TEXT_MAX], why[OPERATOR_TEXT_MAX];
};
struct operator_book {
    uint64_t generation;
    uint32_t n_networks, n_overrides;
    struct operator_network networks[OPERATOR_NETWORKS_MAX];
    struct operator_override overrides[OPERATOR_OVERRIDES_MAX];
};

struct operator_store;
struct operator_view { // one process's copy
    struct operator_store *store;
    struct operator_book book, scratch;
};

struct segment_section_spec operator_section_spec(void);
// -ENOENT: the segment has none. A damaged book reads as an empty one.
int operator_attach(struct segment *segment, struct operator_view *ret_view);
uint64_t operator_generation(const struct operator_store *store);
void operator_take_over(struct operator_view *view);
// The limiter's alone: makes `book` the active one, under the next generation.
void operator_publish(struct operator_view *view, const struct operator_book *book);

enum operator_word { OPERATOR_SAYS_NOTHING, OPERATOR_ALLOWS, OPERATOR_DENIES };
// An allowed network wins over a denied one. Follows a newer book; with no networks in it that is
// all it costs.
enum operator_word operator_judge(struct operator_view *view, const struct address *address,
                                  uint64_t (*now_ns)(void));

#endif
