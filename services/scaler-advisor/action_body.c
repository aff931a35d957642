#include "action_body.h"

#include <string.h>

static void write_text(struct strbuf *out, const char *name, const char *text, size_t cap)
{
    strbuf_printf(out, "\"%s\":", name);
    strbuf_json_string(out, text, strnlen(text, cap));
}

static void write_signals(const struct advice *advice, struct strbuf *out)
{
    strbuf_puts(out, ",\"signals\":[");
    for (uint32_t i = 0; i < advice->n_signals; i++) {
        const struct advice_signal *signal = &advice->signals[i];
        strbuf_puts(out, i > 0 ? ",{" : "{");
        write_text(out, "signal", signal->signal, sizeof(signal->signal));
        strbuf_printf(out, ",\"value\":%.6g,\"threshold\":%.6g,\"proposed\":%u,", signal->value,
                      signal->threshold, signal->proposed);
        write_text(out, "reason", signal->reason, sizeof(signal->reason));
        strbuf_puts(out, "}");
    }
    strbuf_puts(out, "]");
}

static void write_clamps(const struct advice *advice, struct strbuf *out)
{
    strbuf_puts(out, ",\"clamps\":[");
    for (uint32_t i = 0; i < advice->n_clamps; i++) {
        const struct advice_clamp *clamp = &advice->clamps[i];
        strbuf_puts(out, i > 0 ? ",{" : "{");
        write_text(out, "rule", clamp->rule, sizeof(clamp->rule));
        strbuf_printf(out, ",\"before\":%u,\"after\":%u}", clamp->before, clamp->after);
    }
    strbuf_puts(out, "]");
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
    write_signals(advice, out);
    write_clamps(advice, out);
    strbuf_puts(out, "}");
}
