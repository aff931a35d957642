#include "advice/advice.h"

#include <stdio.h>

const char *const advice_action_names[4] = {"none", "scale_up", "scale_down", "hold"};

uint32_t advice_fold(const struct advice *advice)
{
    uint32_t number = 0;

    for (uint32_t i = 0; i < advice->n_signals; i++)
        if (advice->signals[i].proposed > number)
            number = advice->signals[i].proposed;
    for (uint32_t i = 0; i < advice->n_clamps; i++)
        if (advice->clamps[i].before == number)
            number = advice->clamps[i].after;
    return number;
}

static void text_member(struct strbuf *out, const char *key, const char *text, size_t cap)
{
    size_t len = 0;

    while (len < cap && text[len] != '\0')
        len++;
    strbuf_printf(out, "\"%s\":", key);
    strbuf_json_string(out, text, len);
}

static void json_signals(const struct advice *advice, struct strbuf *out)
{
    for (uint32_t i = 0; i < advice->n_signals; i++) {
        const struct advice_signal *signal = &advice->signals[i];

        strbuf_puts(out, i > 0 ? ",{" : "{");
        text_member(out, "signal", signal->signal, sizeof(signal->signal));
        if (signal->known)
            strbuf_printf(out, ",\"value\":%.6g,\"threshold\":%.6g", signal->value,
                          signal->threshold);
        else
            strbuf_puts(out, ",\"value\":null,\"threshold\":null");
        strbuf_printf(out, ",\"raw\":%u,\"proposed\":%u,\"action\":\"%s\",", signal->raw,
                      signal->proposed, advice_action_names[signal->action & 3]);
        text_member(out, "reason", signal->reason, sizeof(signal->reason));
        strbuf_puts(out, "}");
    }
}

static void json_clamps(const struct advice *advice, struct strbuf *out)
{
    for (uint32_t i = 0; i < advice->n_clamps; i++) {
        const struct advice_clamp *each = &advice->clamps[i];

        strbuf_puts(out, i > 0 ? ",{" : "{");
        text_member(out, "rule", each->rule, sizeof(each->rule));
        strbuf_printf(out, ",\"before\":%u,\"after\":%u,", each->before, each->after);
        text_member(out, "reason", each->reason, sizeof(each->reason));
        strbuf_puts(out, "}");
    }
}

void advice_json_chain(const struct advice *advice, struct strbuf *out)
{
    strbuf_puts(out, "\"signals\":[");
    json_signals(advice, out);
    strbuf_puts(out, "],\"clamps\":[");
    json_clamps(advice, out);
    strbuf_puts(out, "]");
}

void advice_json(const struct advice *advice, const char *as_of, struct strbuf *out)
{
    char desired[16] = "null"; // what is no advice is no number that someone could take for one

    if (advice->valid)
        (void)snprintf(desired, sizeof(desired), "%u", advice->desired);
    strbuf_printf(out, "{\"schema\":1,\"sequence\":%llu,\"desired\":%s,\"current\":%u,\"valid\":%s",
                  (unsigned long long)advice->sequence, desired, advice->current,
                  advice->valid ? "true" : "false");
    strbuf_printf(out, ",\"action\":\"%s\",\"panicking\":%s,",
                  advice_action_names[advice->action & 3], advice->panicking ? "true" : "false");
    text_member(out, "priority", advice->priority, sizeof(advice->priority));
    strbuf_puts(out, ",");
    text_member(out, "reason", advice->reason, sizeof(advice->reason));
    if (as_of)
        strbuf_printf(out, ",\"asof\":\"%s\"", as_of);
    strbuf_puts(out, ",");
    advice_json_chain(advice, out);
    strbuf_puts(out, "}");
}

void advice_text(const struct advice *advice, struct strbuf *out)
{
    if (advice->valid)
        strbuf_printf(out, "%s: %u instances where %u are there\n%.*s",
                      advice_action_names[advice->action & 3], advice->desired, advice->current,
                      ADVICE_REASON_MAX, advice->reason);
    else
        strbuf_printf(out, "no advice (%u instances are there)\n%.*s", advice->current,
                      ADVICE_REASON_MAX, advice->reason);
    for (uint32_t i = 0; i < advice->n_signals; i++) {
        const struct advice_signal *signal = &advice->signals[i];

        strbuf_printf(out, "\n  %-16.16s %5u  %.*s", signal->signal, signal->proposed,
                      ADVICE_REASON_MAX, signal->reason);
    }
    for (uint32_t i = 0; i < advice->n_clamps; i++) {
        const struct advice_clamp *each = &advice->clamps[i];

        strbuf_printf(out, "\n  %-20.24s %u -> %u  %.104s", each->rule, each->before, each->after,
                      each->reason);
    }
}
