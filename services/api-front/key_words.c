#include "key_words.h"

#include <stdio.h>

size_t key_words(const struct limit_policy *policy, uint32_t parts,
                 char words[KEY_WORDS_MAX][KEY_WORD_MAX])
{
    static const struct {
        uint32_t part;
        const char *word;
    } plain[] = {{LIMIT_KEY_CLIENT, "client-address"},
                 {LIMIT_KEY_SUBJECT, "subject"},
                 {LIMIT_KEY_API_KEY, "api-key"},
                 {LIMIT_KEY_ROUTE, "route"},
                 {LIMIT_KEY_CALLER, "caller"}};
    size_t n = 0;
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
        if ((parts & plain[i].part) != 0)
            (void)snprintf(words[n++], KEY_WORD_MAX, "%s", plain[i].word);
    for (size_t i = 0; i < LIMIT_KEY_HEADERS_MAX; i++)
        if ((parts & LIMIT_KEY_HEADERS) != 0 && policy->key_headers[i][0] != '\0')
            (void)snprintf(words[n++], KEY_WORD_MAX, "header:%s", policy->key_headers[i]);
    return n;
}
