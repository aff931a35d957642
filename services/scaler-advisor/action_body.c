#include "action_body.h"

#include <string.h>

#include "advice/advice.h"

static void write_text(struct strbuf *out, const char *name, const char *text, size_t cap)
{
    strbuf_printf(out, "\"%s\":", name);
    strbuf_json_string(out, text, strnlen(text, cap));
}

void action_body_write(const struct advice *advice, const char *suite, uint64_t wall_s,
                       struct strbuf *out)
{
    strbuf_puts(out, "{\"schema\":1,");
    write_text(out, "suite", suite, strlen(suite));
    strbuf_printf(out, ",\"asof\":%lu,\"desired\":%u,\"current\":%u,\"action\":\"%s\",",
                  (unsigned long)wall_s, advice->desired, advice->current,
                  advice_action_names[advice->action & 3]);
    write_text(out, "priority", advice->priority, sizeof(advice->priority));
    strbuf_puts(out, ",");
    write_text(out, "reason", advice->reason, sizeof(advice->reason));
    strbuf_puts(out, ",");
    advice_json_chain(advice, out);
    strbuf_puts(out, "}");
}
