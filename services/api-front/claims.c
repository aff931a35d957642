#include "claims.h"

#include "limit/limit.h"

static char fold(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c - 'A' + 'a');
    return c == '_' || c == ' ' ? '-' : c;
}

static bool find(const char *const *names, size_t n_names, const char *text, size_t len,
                 uint32_t *ret_index)
{
    for (size_t i = 0; i < n_names; i++) {
        size_t at = 0;
        while (at < len && names[i][at] != '\0' && fold(text[at]) == names[i][at])
            at++;
        if (at == len && names[i][at] == '\0') {
            *ret_index = (uint32_t)i;
            return true;
        }
    }
    return false;
}

bool claim_tier(const char *text, size_t len, uint32_t *ret_tier)
{
    return find(limit_tier_names, 3, text, len, ret_tier);
}

bool claim_region(const char *text, size_t len, uint32_t *ret_region)
{
    return find(limit_region_names, 4, text, len, ret_region);
}
