#include "limit/claims.h"

#include "limit/limit.h"

static char fold(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c - 'A' + 'a');
    return c == '_' || c == ' ' ? '-' : c;
}

bool claim_is(const char *text, size_t len, const char *name)
{
    size_t at = 0;
    while (at < len && name[at] != '\0' && fold(text[at]) == name[at])
        at++;
    return at == len && name[at] == '\0';
}

bool claim_region(const char *text, size_t len, uint32_t *ret_region)
{
    for (uint32_t i = 0; i < LIMIT_REGIONS; i++)
        if (claim_is(text, len, limit_region_names[i])) {
            *ret_region = i;
            return true;
        }
    return false;
}
