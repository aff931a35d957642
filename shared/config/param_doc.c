#include <inttypes.h>
#include <string.h>

#include "config/param.h"

#define MASK "********"

const char *param_enum_text(const struct param_row *row, int value, char *buffer, size_t cap)
{
    const char *p = row->choices;
    size_t len = strcspn(p, "|");
    for (; value > 0 && p[len] == '|'; value--) {
        p += len + 1;
        len = strcspn(p, "|");
    }
    if (value != 0)
        len = 0;
    if (len >= cap)
        len = cap - 1;
    memcpy(buffer, p, len);
    buffer[len] = '\0';
    return buffer;
}

void param_value_text(const struct param_row *row, const void *params, struct strbuf *out)
{
    const void *field = (const char *)params + row->offset;
    char choice[64];
    uint64_t number;
    const char *text;
    switch (row->type) {
    case PARAM_TYPE_UINT:
        number = *(const uint64_t *)field;
        if (number == PARAM_UNSET && (row->flags & PARAM_UNSET_OK))
            strbuf_puts(out, "unset");
        else
            strbuf_printf(out, "%" PRIu64, number);
        break;
    case PARAM_TYPE_BOOL:
        strbuf_puts(out, *(const bool *)field ? "true" : "false");
        break;
    case PARAM_TYPE_ENUM:
        strbuf_puts(out, param_enum_text(row, *(const int *)field, choice, sizeof(choice)));
        break;
    case PARAM_TYPE_STR:
        text = *(char *const *)field;
        strbuf_puts(out, text ? text : "unset");
        break;
    }
}

static void append_choices(const char *choices, struct strbuf *out)
{
    for (const char *p = choices; *p; p++)
        strbuf_append(out, *p == '|' ? ", " : p, *p == '|' ? 2 : 1);
}

void param_allowed_text(const struct param_row *row, struct strbuf *out)
{
    switch (row->type) {
    case PARAM_TYPE_UINT:
        strbuf_printf(out, "%" PRIu64 " to %" PRIu64 "%s%s", row->min, row->max,
                      row->unit[0] ? " " : "", row->unit);
        break;
    case PARAM_TYPE_BOOL:
        strbuf_puts(out, "true, false (or 1, 0, yes, no, on, off)");
        break;
    case PARAM_TYPE_ENUM:
        append_choices(row->choices, out);
        break;
    case PARAM_TYPE_STR:
        strbuf_puts(out, row->allowed ? row->allowed : "text");
        break;
    }
    if (row->flags & PARAM_UNSET_OK)
        strbuf_puts(out, ", or unset");
}

void param_group_dump(const struct param_group *group, const void *params, struct strbuf *out)
{
    for (size_t i = 0; i < group->n_rows; i++) {
        const struct param_row *row = &group->rows[i];
        struct strbuf value = STRBUF_INIT;
        param_value_text(row, params, &value);
        bool masked = (row->flags & PARAM_SECRET) && value.len > 0;
        strbuf_printf(out, "%s=%s\n", row->name, masked ? MASK : strbuf_text(&value));
        strbuf_fini(&value);
    }
}

static const char *default_of(const struct param_row *row)
{
    if (!row->default_text || strcmp(row->default_text, "UNSET") == 0)
        return "unset";
    return row->default_text;
}

void param_group_help(const struct param_group *group, struct strbuf *out)
{
    strbuf_printf(out, "%s:\n", group->title);
    for (size_t i = 0; i < group->n_rows; i++) {
        const struct param_row *row = &group->rows[i];
        strbuf_printf(out, "  %s=%s", row->name, default_of(row));
        if (row->alias)
            strbuf_printf(out, "   (or %s, which wins)", row->alias);
        strbuf_printf(out, "\n      %s", row->help);
        if (row->type != PARAM_TYPE_STR || row->allowed) {
            strbuf_puts(out, ". Allowed: ");
            param_allowed_text(row, out);
        }
        if (row->flags & PARAM_PLANNED)
            strbuf_printf(out, ". Not available in this version: only %s is allowed",
                          default_of(row));
        strbuf_puts(out, "\n");
    }
}

// A '|' would end the cell.
static void append_cell(const char *text, struct strbuf *out)
{
    for (const char *p = text; *p; p++)
        strbuf_append(out, *p == '|' ? "\\|" : p, *p == '|' ? 2 : 1);
}

static void append_markdown_row(const struct param_row *row, struct strbuf *out)
{
    struct strbuf allowed = STRBUF_INIT;
    if (row->flags & PARAM_PLANNED)
        strbuf_printf(&allowed, "%s (not available in this version)", default_of(row));
    else if (row->type == PARAM_TYPE_BOOL)
        strbuf_puts(&allowed, "true, false");
    else
        param_allowed_text(row, &allowed);
    strbuf_printf(out, "| `%s`", row->name);
    if (row->alias)
        strbuf_printf(out, ", `%s` (wins)", row->alias);
    strbuf_puts(out, default_of(row)[0] ? " | `" : " | ");
    append_cell(default_of(row)[0] ? default_of(row) : "empty", out);
    strbuf_puts(out, default_of(row)[0] ? "` | " : " | ");
    append_cell(strbuf_text(&allowed), out);
    strbuf_printf(out, " | %s%s | ", row->flags & PARAM_RELOAD ? "reload" : "restart",
                  row->flags & PARAM_SECRET ? ", secret" : "");
    append_cell(row->help, out);
    strbuf_puts(out, ". |\n");
    strbuf_fini(&allowed);
}

void param_group_markdown(const struct param_group *group, struct strbuf *out)
{
    strbuf_printf(out,
                  "## %s\n\n| Name | Default | Allowed | Change by | Meaning |\n"
                  "|---|---|---|---|---|\n",
                  group->title);
    for (size_t i = 0; i < group->n_rows; i++)
        append_markdown_row(&group->rows[i], out);
    strbuf_puts(out, "\n");
}
