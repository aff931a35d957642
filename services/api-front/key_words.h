// What a policy counts by, in the words of the configuration file. Pure. Thread: any.
#ifndef VALVECHAIN_API_FRONT_KEY_WORDS_H
#define VALVECHAIN_API_FRONT_KEY_WORDS_H

#include "limit/limit.h"

#define KEY_WORDS_MAX (5 + LIMIT_KEY_HEADERS_MAX)
#define KEY_WORD_MAX  (sizeof("header:") + LIMIT_HEADER_MAX)

// "client-address", "route", "header:x-team", ... of these parts of the policy's key; returns how
// many.
size_t key_words(const struct limit_policy *policy, uint32_t parts,
                 char words[KEY_WORDS_MAX][KEY_WORD_MAX]);

#endif
