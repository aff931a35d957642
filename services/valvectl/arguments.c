// What several commands take: keys, times, and who gives the command.
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/parse.h"
#include "valvectl.h"

// A policy's name has no colon, a part of a key has one.
bool valvectl_take_key(const struct valvectl *ctl, char ret_policy[LIMIT_NAME_MAX],
                       char ret_key[KEY_TEXT_MAX])
{
    int first = ctl->argc > 0 && !strchr(ctl->argv[0], ':');
    size_t len = 0;
    if (ctl->argc <= first) {
        fputs("valvectl: a key is missing: [POLICY] client:ADDRESS, subject:TEXT, api-key:TEXT, "
              "route:NAME, header:NAME=TEXT, or several of these\n",
              stderr);
        return false;
    }
    if (first && strlen(ctl->argv[0]) >= LIMIT_NAME_MAX) {
        fprintf(stderr, "valvectl: '%.40s' is no policy\n", ctl->argv[0]);
        return false;
    }
    snprintf(ret_policy, LIMIT_NAME_MAX, "%s", first ? ctl->argv[0] : "");
    ret_key[0] = '\0';
    for (int i = first; i < ctl->argc && len < KEY_TEXT_MAX; i++)
        len += (size_t)snprintf(ret_key + len, KEY_TEXT_MAX - len, "%s%s", i > first ? " " : "",
                                ctl->argv[i]);
    if (len >= KEY_TEXT_MAX)
        fprintf(stderr, "valvectl: a key has at most %d bytes\n", KEY_TEXT_MAX - 1);
    return len < KEY_TEXT_MAX;
}

bool valvectl_duration(const char *text, uint64_t *ret_ms)
{
    static const struct {
        char unit;
        uint64_t ms;
    } units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}};
    size_t len = strlen(text);
    uint64_t number = 0;
    bool is_zero = len > 1 && strspn(text, "0") == len - 1 && strchr("smhd", text[len - 1]);
    if (is_zero) {
        fprintf(stderr, "valvectl: '%s' is too short a time, the shortest is 1s\n", text);
        return false;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]) && len > 1; i++) {
        if (text[len - 1] == units[i].unit &&
            parse_u64_n(text, len - 1, 1, 31622400, &number) == 0) {
            *ret_ms = number * units[i].ms;
            return true;
        }
    }
    fprintf(stderr, "valvectl: '%s' is no time, allowed are for instance 30s, 10m, 2h, 7d\n", text);
    return false;
}

void valvectl_who(char ret_who[OPERATOR_TEXT_MAX])
{
    const struct passwd *entry = getpwuid(getuid());
    snprintf(ret_who, OPERATOR_TEXT_MAX, "%.60s (uid %u)", entry ? entry->pw_name : "?", getuid());
}
