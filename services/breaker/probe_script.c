#include "probe_script.h"

#include <string.h>

static void put_command(struct strbuf *out, const char *word, const char *argument)
{
    strbuf_printf(out, "*%d\r\n$%zu\r\n%s\r\n", argument != NULL ? 2 : 1, strlen(word), word);
    if (argument != NULL)
        strbuf_printf(out, "$%zu\r\n%s\r\n", strlen(argument), argument);
}

enum probe_step probe_script_begin(const struct probe_script *script, struct strbuf *out)
{
    if (script->kind == CONFIG_PROBE_TCP)
        return PROBE_GOOD;
    if (script->kind == CONFIG_PROBE_REDIS) {
        if (script->password != NULL)
            put_command(out, "AUTH", script->password);
        put_command(out, "PING", NULL);
    }
    return PROBE_READ; // an smtp server speaks first
}

static enum probe_step redis_line(struct probe_script *script, const char *line)
{
    bool is_auth = script->password != NULL && script->answers == 1;
    if (is_auth)
        return strcmp(line, "+OK") == 0 ? PROBE_READ : PROBE_BAD;
    return strcmp(line, "+PONG") == 0 ? PROBE_GOOD : PROBE_BAD;
}

// "250-SIZE" goes on, "250 HELP" and "250" end an answer.
static enum probe_step smtp_line(struct probe_script *script, const char *line, struct strbuf *out)
{
    static const char *const codes[] = {"220", "250", "221"};
    const char *expected = codes[script->answers - 1];
    if (strncmp(line, expected, 3) != 0 || (line[3] != '\0' && line[3] != ' ' && line[3] != '-'))
        return PROBE_BAD;
    if (line[3] == '-') {
        script->answers--;
        return PROBE_READ;
    }
    if (script->answers == 3)
        return PROBE_GOOD;
    strbuf_puts(out, script->answers == 1 ? "EHLO valvechain.invalid\r\n" : "QUIT\r\n");
    return PROBE_READ;
}

enum probe_step probe_script_line(struct probe_script *script, const char *line, struct strbuf *out)
{
    script->answers++;
    return script->kind == CONFIG_PROBE_REDIS ? redis_line(script, line)
                                              : smtp_line(script, line, out);
}
