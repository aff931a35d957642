// --help for people, --describe for tools.
#include <inttypes.h>
#include <string.h>

#include "service/service_internal.h"

static void json_text(struct strbuf *out, const char *name, const char *text)
{
    strbuf_printf(out, ",\"%s\":", name);
    strbuf_json_string(out, text, strlen(text));
}

static void json_flag(struct strbuf *out, const char *name, unsigned flags, unsigned flag)
{
    strbuf_printf(out, ",\"%s\":%s", name, flags & flag ? "true" : "false");
}

static void describe_row(const struct param_group *group, const struct param_row *row,
                         struct strbuf *out)
{
    static const char *const types[] = {[PARAM_TYPE_UINT] = "integer",
                                        [PARAM_TYPE_BOOL] = "boolean",
                                        [PARAM_TYPE_STR] = "string",
                                        [PARAM_TYPE_ENUM] = "choice"};

    strbuf_puts(out, "{\"name\":");
    strbuf_json_string(out, row->name, strlen(row->name));
    json_text(out, "group", group->name);
    json_text(out, "type", types[row->type]);
    if ((row->flags & PARAM_UNSET_OK) || !row->default_text)
        strbuf_puts(out, ",\"default\":null");
    else
        json_text(out, "default", row->default_text);
    if (row->type == PARAM_TYPE_UINT)
        strbuf_printf(out, ",\"minimum\":%" PRIu64 ",\"maximum\":%" PRIu64, row->min, row->max);
    if (row->type == PARAM_TYPE_ENUM)
        json_text(out, "choices", row->choices);
    if (row->allowed)
        json_text(out, "allowed", row->allowed);
    if (row->alias)
        json_text(out, "alias", row->alias);
    json_text(out, "unit", row->unit);
    json_flag(out, "secret", row->flags, PARAM_SECRET);
    json_flag(out, "reload", row->flags, PARAM_RELOAD);
    json_flag(out, "planned", row->flags, PARAM_PLANNED);
    json_text(out, "help", row->help);
    strbuf_puts(out, "}");
}

static void describe_group(const struct param_group *group, const char **comma, struct strbuf *out)
{
    for (size_t i = 0; i < group->n_rows; i++) {
        strbuf_puts(out, *comma);
        describe_row(group, &group->rows[i], out);
        *comma = ",\n  ";
    }
}

static void describe_metrics(const struct metric_def *defs, size_t n, const char **comma,
                             struct strbuf *out)
{
    static const char *const kinds[] = {[METRIC_COUNTER] = "counter",
                                        [METRIC_GAUGE] = "gauge",
                                        [METRIC_HISTOGRAM] = "histogram",
                                        [METRIC_GAUGE_MAX] = "gauge"};

    for (size_t i = 0; i < n; i++) {
        strbuf_printf(out, "%s{\"name\":", *comma);
        strbuf_json_string(out, defs[i].name, strlen(defs[i].name));
        json_text(out, "kind", kinds[defs[i].kind]);
        json_text(out, "unit", defs[i].unit);
        json_text(out, "labels", defs[i].labels);
        json_text(out, "help", defs[i].help);
        strbuf_puts(out, "}");
        *comma = ",\n  ";
    }
}

void service_describe(const struct service_descriptor *descriptor, struct strbuf *out)
{
    const char *comma = "\n  ";
    size_t n_common;
    const struct metric_def *common = process_metric_defs(&n_common);

    strbuf_puts(out, "{\"name\":");
    strbuf_json_string(out, descriptor->name, strlen(descriptor->name));
    json_text(out, "summary", descriptor->summary);
    json_text(out, "version", VALVECHAIN_VERSION);
    strbuf_printf(out, ",\"abi\":%d,\n \"parameters\":[", SEGMENT_ABI);
    describe_group(&suite_param_group, &comma, out);
    for (size_t i = 0; i < service_group_count(descriptor); i++)
        describe_group(descriptor->groups[i], &comma, out);
    strbuf_puts(out, "],\n \"metrics\":[");
    comma = "\n  ";
    describe_metrics(common, n_common, &comma, out);
    describe_metrics(descriptor->metrics, descriptor->n_metrics, &comma, out);
    strbuf_puts(out, "]}\n");
}

void service_help(const struct service_descriptor *descriptor, struct strbuf *out)
{
    strbuf_printf(
        out,
        "valvechain-%s %s: %s\n\n"
        "Usage: valvechain-%s [--set NAME=VALUE]... "
        "[--help | --version | --check | --describe]\n\n"
        "  --set NAME=VALUE  sets a parameter; stronger than the environment, which is\n"
        "                    stronger than the configuration file (CONFIG_FILE)\n"
        "  --check           reads parameters and configuration, prints every problem,\n"
        "                    exits with 0, or 1 if there was one\n"
        "  --describe        parameters and metrics as JSON\n\n"
        "Signals: TERM and INT drain and stop, a second one stops at once; HUP reads the\n"
        "configuration anew, a bad one is refused and the old one stays.\n"
        "Exit codes: 0 clean, 1 bad input or configuration, 2 could not start.\n\n"
        "Parameters:\n",
        descriptor->name, VALVECHAIN_VERSION, descriptor->summary, descriptor->name);
    param_group_help(&suite_param_group, out);
    for (size_t i = 0; i < service_group_count(descriptor); i++)
        param_group_help(descriptor->groups[i], out);
}
