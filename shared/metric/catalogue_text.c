#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/parse.h"
#include "base/utf8.h"
#include "metric/catalogue.h"

static bool is_name_start(char c)
{
    return isalpha((unsigned char)c) || c == '_';
}

// The length of a label name at the start of `text`, 0 when there is none.
static size_t label_name_length(const char *text)
{
    size_t n = 0;
    if (!is_name_start(text[0]))
        return 0;
    while (is_name_start(text[n]) || isdigit((unsigned char)text[n]))
        n++;
    return n;
}

bool catalogue_is_metric_name(const char *name)
{
    size_t len = strlen(name), n = 0;
    if (len == 0 || len > CATALOGUE_NAME_MAX || isdigit((unsigned char)name[0]))
        return false;
    while (is_name_start(name[n]) || isdigit((unsigned char)name[n]) || name[n] == ':')
        n++;
    return n == len;
}

bool catalogue_is_text(const char *text)
{
    size_t len = strlen(text), bad;
    for (size_t i = 0; i < len;) {
        unsigned char c = (unsigned char)text[i];
        size_t n = utf8_sequence((const unsigned char *)text + i, len - i, &bad);
        if (n == 0 || (c < ' ' && c != '\n' && c != '\t') || c == 0x7f)
            return false;
        i += n;
    }
    return true;
}

// The length of name="value" at the start of `text`, 0 when it is not of that form.
static size_t label_length(const char *text)
{
    size_t n = label_name_length(text);
    if (n == 0 || text[n] != '=' || text[n + 1] != '"')
        return 0;
    for (n += 2; text[n] != '"'; n++) {
        if (text[n] == 0 || text[n] == '\n')
            return 0;
        if (text[n] == '\\' && !strchr("\\\"n", text[++n]))
            return 0;
        if (text[n] == 0)
            return 0;
    }
    return n + 1;
}

bool catalogue_is_labels(const char *labels)
{
    if (!catalogue_is_text(labels) || strlen(labels) >= CATALOGUE_LABELS_MAX)
        return false;
    while (*labels) {
        size_t n = label_length(labels);
        if (n == 0 || (labels[n] != 0 && (labels[n] != ',' || labels[n + 1] == 0)))
            return false;
        labels += labels[n] == ',' ? n + 1 : n;
    }
    return true;
}

struct render {
    char *out;
    size_t len;
};

static void put(struct render *render, char c)
{
    if (render->len < CATALOGUE_LABELS_MAX)
        render->out[render->len] = c;
    render->len++;
}

static void put_value(struct render *render, const char *value)
{
    size_t len = strlen(value), bad;
    for (size_t i = 0; i < len;) {
        size_t n = utf8_sequence((const unsigned char *)value + i, len - i, &bad);
        unsigned char c = (unsigned char)value[i];
        if (n == 0 || (c < ' ' && c != '\n') || c == 0x7f) {
            put(render, '?');
            i += n ? n : bad;
            continue;
        }
        if (c == '\\' || c == '"' || c == '\n')
            put(render, '\\');
        put(render, c == '\n' ? 'n' : value[i]);
        for (size_t more = 1; more < n; more++)
            put(render, value[i + more]);
        i += n;
    }
}

int catalogue_render_labels(const char *names, const char *const *values,
                            char ret_labels[CATALOGUE_LABELS_MAX])
{
    char text[CATALOGUE_LABELS_MAX];
    struct render render = {.out = text};
    const char *cursor = names, *name;
    size_t len, index = 0;
    while (parse_list_next(&cursor, &name, &len)) {
        if (label_name_length(name) != len)
            return -EINVAL;
        if (index > 0)
            put(&render, ',');
        for (size_t i = 0; i < len; i++)
            put(&render, name[i]);
        put(&render, '=');
        put(&render, '"');
        put_value(&render, values[index++]);
        put(&render, '"');
    }
    put(&render, 0);
    if (render.len > CATALOGUE_LABELS_MAX)
        return -ENOSPC;
    memcpy(ret_labels, text, render.len);
    return 0;
}
