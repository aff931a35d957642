#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/output.h"
#include "base/strbuf.h"

#define KEEP_LINE_BYTES 65536 // a longer line's memory is given back after it is written

static struct {
    char process[64];
    char instance[64];
    enum log_level level;
    struct strbuf line; // kept, so that a line costs no allocation
    struct output output;
    uint64_t lost_lines;
} state = {.level = LOG_LEVEL_INFO, .output = {.fd = STDOUT_FILENO}};

void log_init(const char *process, const char *instance, enum log_level level)
{
    snprintf(state.process, sizeof(state.process), "%s", process);
    snprintf(state.instance, sizeof(state.instance), "%s", instance);
    state.level = level;
    output_init(&state.output, STDOUT_FILENO);
}

size_t log_write_lines(const char *lines, size_t len)
{
    return output_write(&state.output, lines, len);
}

void log_set_level(enum log_level level)
{
    state.level = level;
}

bool log_enabled(enum log_level level)
{
    return level <= state.level;
}

uint64_t log_lost_lines(void)
{
    return state.lost_lines;
}

static void append_time(struct strbuf *line)
{
    uint64_t now_ns = clock_wall_ns();
    time_t seconds = (time_t)(now_ns / NS_PER_S);
    struct tm utc;
    char text[32];
    gmtime_r(&seconds, &utc);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
    strbuf_printf(line, "\"%s.%03uZ\"", text, (unsigned)(now_ns % NS_PER_S / NS_PER_MS));
}

static void append_string(struct strbuf *line, const char *text)
{
    if (text)
        strbuf_json_string(line, text, strlen(text));
    else
        strbuf_puts(line, "null");
}

static void append_member(struct strbuf *line, const char *name, const char *text)
{
    strbuf_puts(line, ",");
    append_string(line, name);
    strbuf_puts(line, ":");
    append_string(line, text);
}

// The shortest of two forms that reads back as the same number; JSON has no infinity and no NaN.
static void append_number(struct strbuf *line, double num)
{
    char text[32];
    if (!isfinite(num)) {
        strbuf_puts(line, "null");
        return;
    }
    snprintf(text, sizeof(text), "%.15g", num);
    double back = strtod(text, NULL);
    if (memcmp(&back, &num, sizeof(num)) != 0)
        snprintf(text, sizeof(text), "%.17g", num);
    strbuf_puts(line, text);
}

static void append_field(struct strbuf *line, const struct log_field *field)
{
    strbuf_puts(line, ",");
    append_string(line, field->name);
    strbuf_puts(line, ":");
    switch (field->kind) {
    case LOG_STR:
        append_string(line, field->value.str);
        break;
    case LOG_INT:
        strbuf_printf(line, "%" PRId64, field->value.i);
        break;
    case LOG_UINT:
        strbuf_printf(line, "%" PRIu64, field->value.u);
        break;
    case LOG_NUM:
        append_number(line, field->value.num);
        break;
    case LOG_BOOL:
        strbuf_puts(line, field->value.boolean ? "true" : "false");
        break;
    }
}

void log_write(enum log_level level, const char *event, const char *message,
               const struct log_field *fields, size_t n_fields)
{
    static const char *const level_names[] = {"error", "warn", "info", "debug"};
    struct strbuf *line = &state.line;
    if (!log_enabled(level))
        return;
    strbuf_clear(line);
    strbuf_puts(line, "{\"time\":");
    append_time(line);
    append_member(line, "level", level_names[level]);
    append_member(line, "process",
                  state.process[0] ? state.process : program_invocation_short_name);
    append_member(line, "instance", state.instance);
    append_member(line, "event", event);
    append_member(line, "message", message);
    for (size_t i = 0; i < n_fields; i++)
        append_field(line, &fields[i]);
    strbuf_puts(line, "}\n");
    if (!strbuf_ok(line) || log_write_lines(line->text, line->len) == 0)
        state.lost_lines++;
    if (!strbuf_ok(line) || line->cap > KEEP_LINE_BYTES)
        strbuf_fini(line);
}
