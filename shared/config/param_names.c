#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "config/nearest.h"
#include "config/param.h"

static const char *const all_names[] = {
#include "param_names.inc"
};
static const size_t n_names = sizeof(all_names) / sizeof(all_names[0]);

bool param_is_known(const char *name, const char **ret_nearest)
{
    for (size_t i = 0; i < n_names; i++)
        if (strcmp(all_names[i], name) == 0)
            return true;
    *ret_nearest = nearest_name(name, all_names, n_names);
    return false;
}

size_t param_all_names(const char *const **ret_names)
{
    *ret_names = all_names;
    return n_names;
}

void param_check_assignments(const struct param_sources *sources, struct problems *problems)
{
    for (size_t i = 0; i < sources->n_assignments; i++) {
        const char *text = sources->assignments[i], *nearest;
        size_t len = strcspn(text, "=");
        char name[64];
        if (text[len] == '\0' || len == 0 || len >= sizeof(name)) {
            problems_add(problems, "--set: '%.*s' is not of the form, allowed NAME=VALUE",
                         (int)(len < 64 ? len : 64), text);
            continue;
        }
        memcpy(name, text, len);
        name[len] = '\0';
        if (!param_is_known(name, &nearest))
            problems_add(problems, "--set: there is no parameter '%s'%s%s%s", name,
                         nearest ? "; did you mean " : ", --help lists them",
                         nearest ? nearest : "", nearest ? "?" : "");
    }
}

bool param_is_name(const char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)text[i]) && text[i] != '_' && text[i] != '-')
            return false;
    return len >= 1 && len <= 23;
}

bool param_is_dir(const char *text)
{
    return text[0] == '/';
}

bool param_is_address(const char *text)
{
    unsigned char bytes[sizeof(struct in6_addr)];
    return text[0] == '\0' || inet_pton(AF_INET, text, bytes) == 1 ||
           inet_pton(AF_INET6, text, bytes) == 1;
}

bool param_is_url_path(const char *text)
{
    if (text[0] != '/')
        return false;
    for (const char *p = text; *p; p++) {
        size_t segment = strcspn(p + 1, "/");
        if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f || strchr("?#%\\", *p))
            return false;
        if (*p == '/' && ((p[1] == '/') || (segment == 1 && p[1] == '.') ||
                          (segment == 2 && p[1] == '.' && p[2] == '.')))
            return false;
    }
    return true;
}
