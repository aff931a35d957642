#include "config/param.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/parse.h"
#include "config/param_source.h"

// One parsed value, before it is stored in its struct.
union value {
    uint64_t uint;
    bool boolean;
    int choice;
    char *str;
};

static void *field_of(const struct param_row *row, void *params)
{
    return (char *)params + row->offset;
}

static void store(const struct param_row *row, void *params, const union value *value)
{
    void *field = field_of(row, params);
    switch (row->type) {
    case PARAM_TYPE_UINT:
        *(uint64_t *)field = value->uint;
        break;
    case PARAM_TYPE_BOOL:
        *(bool *)field = value->boolean;
        break;
    case PARAM_TYPE_ENUM:
        *(int *)field = value->choice;
        break;
    case PARAM_TYPE_STR:
        *(char **)field = value->str;
        break;
    }
}

static int parse_enum(const char *choices, const char *text, int *ret_choice)
{
    size_t len = strlen(text);
    int choice = 0;
    for (const char *p = choices;; choice++) {
        size_t n = strcspn(p, "|");
        if (n == len && strncasecmp(p, text, n) == 0) {
            *ret_choice = choice;
            return 0;
        }
        if (p[n] == '\0')
            return -EINVAL;
        p += n + 1;
    }
}

// -EINVAL: not of the form, -ERANGE: outside of it, -ENOMEM. `text` NULL is unset.
static int parse_value(const struct param_row *row, const char *text, union value *ret_value)
{
    union value value = {0};
    bool unset = (row->flags & PARAM_UNSET_OK) && (!text || strcasecmp(text, "unset") == 0);
    int r = 0;
    ASSERT(text || row->type == PARAM_TYPE_STR); // NULL is a default, and only texts may have it
    switch (row->type) {
    case PARAM_TYPE_UINT:
        value.uint = PARAM_UNSET;
        r = unset ? 0 : parse_u64(text, row->min, row->max, &value.uint);
        break;
    case PARAM_TYPE_BOOL:
        r = parse_bool(text, &value.boolean);
        break;
    case PARAM_TYPE_ENUM:
        r = parse_enum(row->choices, text, &value.choice);
        break;
    case PARAM_TYPE_STR:
        if (unset || !text)
            break;
        if (row->is_valid && !row->is_valid(text))
            return -EINVAL;
        value.str = strdup(text);
        r = value.str ? 0 : -ENOMEM;
        break;
    }
    if (r == 0)
        *ret_value = value;
    return r;
}

// For a message: short, and without the bytes that would let a value write on the terminal.
static void append_shown(const struct param_row *row, const char *text, struct strbuf *out)
{
    if (row->flags & PARAM_SECRET) {
        strbuf_puts(out, "'********'");
        return;
    }
    strbuf_puts(out, "'");
    for (size_t i = 0; text[i] && i < 80; i++)
        strbuf_append(out, (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? "?" : &text[i], 1);
    strbuf_puts(out, strlen(text) > 80 ? "...'" : "'");
}

static const char *complaint(const struct param_row *row, int error)
{
    static const char *const wrong_form[] = {
        [PARAM_TYPE_UINT] = "is not a whole number",
        [PARAM_TYPE_BOOL] = "is neither true nor false",
        [PARAM_TYPE_STR] = "is not of the form",
        [PARAM_TYPE_ENUM] = "is none of the choices",
    };
    return error == -ERANGE ? "is out of range" : wrong_form[row->type];
}

static void refuse(const struct param_row *row, const struct param_text *found, int error,
                   struct problems *problems)
{
    struct strbuf shown = STRBUF_INIT, allowed = STRBUF_INIT;
    append_shown(row, found->text, &shown);
    param_allowed_text(row, &allowed);
    problems_add(problems, "%s: %s %s, allowed %s", found->label, strbuf_text(&shown),
                 complaint(row, error), strbuf_text(&allowed));
    strbuf_fini(&shown);
    strbuf_fini(&allowed);
}

static void refuse_planned(const struct param_row *row, const struct param_text *found,
                           struct problems *problems)
{
    struct strbuf shown = STRBUF_INIT;
    append_shown(row, found->text, &shown);
    problems_add(problems, "%s: %s is not available in this version (%s), allowed %s", found->label,
                 strbuf_text(&shown), row->help, row->default_text);
    strbuf_fini(&shown);
}

static bool is_same(const struct param_row *row, const union value *a, const union value *b)
{
    switch (row->type) {
    case PARAM_TYPE_UINT:
        return a->uint == b->uint;
    case PARAM_TYPE_BOOL:
        return a->boolean == b->boolean;
    case PARAM_TYPE_ENUM:
        return a->choice == b->choice;
    case PARAM_TYPE_STR:
        return a->str && b->str ? strcmp(a->str, b->str) == 0 : a->str == b->str;
    }
    return false;
}

// A planned parameter may be given, but only with its default.
static bool is_too_early(const struct param_row *row, const union value *value)
{
    if (!(row->flags & PARAM_PLANNED))
        return false;
    union value standard;
    int r = parse_value(row, row->default_text, &standard);
    if (r == -ENOMEM)
        return true;
    ASSERT(r == 0);
    bool same = is_same(row, value, &standard);
    if (row->type == PARAM_TYPE_STR)
        free(standard.str);
    return !same;
}

static int load_row(const struct param_row *row, const struct param_sources *sources, void *params,
                    struct problems *problems)
{
    struct param_text found;
    union value value;
    int r = param_source_find(row, sources, &found, problems);
    if (r < 0)
        return r;
    r = parse_value(row, found.text ? found.text : row->default_text, &value);
    if (r == 0) {
        store(row, params, &value);
        if (found.text && is_too_early(row, &value)) {
            refuse_planned(row, &found, problems);
            r = -EINVAL;
        }
    } else if (r != -ENOMEM) {
        ASSERT(found.text); // a default is ours
        refuse(row, &found, r, problems);
        r = -EINVAL;
    }
    free(found.text);
    return r;
}

int param_group_load(const struct param_group *group, const struct param_sources *sources,
                     void *ret_struct, struct problems *problems)
{
    static const struct param_sources none = {0};
    void *params = calloc(1, group->struct_bytes);
    bool no_memory = !params, bad = false;
    for (size_t i = 0; i < group->n_rows && !no_memory; i++) {
        int r = load_row(&group->rows[i], sources ? sources : &none, params, problems);
        no_memory = r == -ENOMEM;
        bad |= r < 0;
    }
    if (no_memory)
        problems_add(problems, "out of memory while reading the parameters");
    if (no_memory || bad) {
        if (params)
            param_group_fini(group, params);
        free(params);
        return no_memory ? -ENOMEM : -EINVAL;
    }
    memcpy(ret_struct, params, group->struct_bytes);
    free(params);
    return 0;
}

void param_group_fini(const struct param_group *group, void *params)
{
    for (size_t i = 0; i < group->n_rows; i++) {
        if (group->rows[i].type != PARAM_TYPE_STR)
            continue;
        char **text = field_of(&group->rows[i], params);
        free(*text);
        *text = NULL;
    }
}

static size_t size_of(enum param_type type)
{
    static const size_t sizes[] = {
        [PARAM_TYPE_UINT] = sizeof(uint64_t),
        [PARAM_TYPE_BOOL] = sizeof(bool),
        [PARAM_TYPE_STR] = sizeof(char *),
        [PARAM_TYPE_ENUM] = sizeof(int),
    };
    return sizes[type];
}

void param_group_keep(const struct param_group *group, void *running, void *fresh,
                      struct strbuf *ret_names)
{
    for (size_t i = 0; i < group->n_rows; i++) {
        const struct param_row *row = &group->rows[i];
        union value old = {0}, new = {0};
        size_t size = size_of(row->type);
        if (row->flags & PARAM_RELOAD)
            continue;
        memcpy(&old, field_of(row, running), size);
        memcpy(&new, field_of(row, fresh), size);
        if (is_same(row, &old, &new))
            continue;
        store(row, fresh, &old);
        if (row->type == PARAM_TYPE_STR)
            store(row, running, &new);
        strbuf_printf(ret_names, "%s%s", ret_names->len ? ", " : "", row->name);
    }
}
