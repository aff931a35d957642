#include "config/reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/parse.h"
#include "config/nearest.h"

void reader_complain(struct reader *reader, const struct json_path *path, const char *format, ...)
{
    struct strbuf where = STRBUF_INIT;
    size_t line, column;
    char *what;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&what, format, args);
    va_end(args);
    reader->failed = true;
    if (len < 0) {
        reader->no_memory = true;
        return;
    }
    json_path_text(path, &where);
    json_place(reader->text, reader->len, path, &line, &column);
    problems_add(reader->problems, "%s:%zu:%zu: %s%s%s", reader->file, line, column,
                 strbuf_text(&where), where.len ? ": " : "", what);
    strbuf_fini(&where);
    free(what);
}

static const char *kind_of(json_t *json)
{
    static const char *const kinds[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "a list",    [JSON_STRING] = "a text",
        [JSON_INTEGER] = "a number", [JSON_REAL] = "a fraction", [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",      [JSON_NULL] = "null",
    };
    return kinds[json_typeof(json)];
}

static void wrong_kind(struct reader *reader, const struct json_path *path, json_t *json,
                       const char *wanted, const struct config_field *field)
{
    struct strbuf allowed = STRBUF_INIT;
    config_field_allowed(field, &allowed);
    if (field->type == FIELD_OBJECTS)
        reader_complain(reader, path, "is %s, allowed is %s of objects: [{...}, ...]",
                        kind_of(json), wanted);
    else
        reader_complain(reader, path, "is %s, allowed is %s (%s)", kind_of(json), wanted,
                        strbuf_text(&allowed));
    strbuf_fini(&allowed);
}

static void not_allowed(struct reader *reader, const struct json_path *path, const char *shown,
                        const char *what, const struct config_field *field)
{
    struct strbuf allowed = STRBUF_INIT;
    config_field_allowed(field, &allowed);
    reader_complain(reader, path, "'%.80s' %s, allowed %s", shown, what, strbuf_text(&allowed));
    strbuf_fini(&allowed);
}

static void store_uint(const struct config_field *field, void *out, uint64_t value)
{
    void *at = (char *)out + field->offset;
    switch (field->size) {
    case sizeof(uint16_t):
        *(uint16_t *)at = (uint16_t)value;
        break;
    case sizeof(uint32_t): // unsigned masks and enums, too
        *(uint32_t *)at = (uint32_t)value;
        break;
    default:
        ASSERT(field->size == sizeof(uint64_t));
        *(uint64_t *)at = value;
    }
}

static char **text_at(const struct config_field *field, void *out)
{
    return (char **)((char *)out + field->offset);
}

static char *copy_text(struct reader *reader, const char *text)
{
    char *copy = strdup(text);
    if (!copy)
        reader->no_memory = true;
    return copy;
}

// The index of the choice, or -1.
static int find_choice(const char *choices, const char *text, size_t len)
{
    int index = 0;
    for (const char *p = choices;; index++) {
        size_t n = strcspn(p, "|");
        if (n == len && memcmp(p, text, n) == 0)
            return index;
        if (p[n] == '\0')
            return -1;
        p += n + 1;
    }
}

static bool is_list_of_allowed_length(struct reader *reader, const struct json_path *path,
                                      json_t *json, const struct config_field *field)
{
    if (!json_is_array(json)) {
        wrong_kind(reader, path, json, "a list", field);
        return false;
    }
    size_t n = json_array_size(json);
    if (n < field->min || n > field->max) {
        reader_complain(reader, path, "has %zu items, allowed %" PRIu64 " to %" PRIu64, n,
                        field->min, field->max);
        return false;
    }
    return true;
}

static void read_uint(struct reader *reader, const struct json_path *path, json_t *json,
                      const struct config_field *field, void *out)
{
    char shown[32];
    if (!json_is_integer(json)) {
        wrong_kind(reader, path, json, "a whole number", field);
        return;
    }
    int64_t value = json_integer_value(json);
    if (value < 0 || (uint64_t)value < field->min || (uint64_t)value > field->max) {
        snprintf(shown, sizeof(shown), "%" PRId64, value);
        not_allowed(reader, path, shown, "is out of range", field);
        return;
    }
    store_uint(field, out, value == 0 && field->like ? UINT64_MAX : (uint64_t)value);
}

static void read_bool(struct reader *reader, const struct json_path *path, json_t *json,
                      const struct config_field *field, void *out)
{
    if (json_is_boolean(json))
        *(bool *)((char *)out + field->offset) = json_is_true(json);
    else
        wrong_kind(reader, path, json, "true or false", field);
}

// The text when it is one and has the form; else NULL, with a problem.
static const char *checked_text(struct reader *reader, const struct json_path *path, json_t *json,
                                const struct config_field *field)
{
    const char *text = json_string_value(json);
    if (!text)
        wrong_kind(reader, path, json, "a text", field);
    else if (field->type == FIELD_STR && strlen(text) > field->max)
        reader_complain(reader, path, "has %zu bytes, allowed at most %" PRIu64, strlen(text),
                        field->max);
    else if (field->form && !field->form->is_valid(text))
        not_allowed(reader, path, text, "is not of the form", field);
    else
        return text;
    return NULL;
}

static void read_str(struct reader *reader, const struct json_path *path, json_t *json,
                     const struct config_field *field, void *out)
{
    const char *text = checked_text(reader, path, json, field);
    if (text)
        *text_at(field, out) = copy_text(reader, text);
}

static void read_strs(struct reader *reader, const struct json_path *path, json_t *json,
                      const struct config_field *field, void *out)
{
    if (!is_list_of_allowed_length(reader, path, json, field))
        return;
    size_t n = json_array_size(json), kept = 0;
    char **list = calloc(n + 1, sizeof(*list));
    if (!list) {
        reader->no_memory = true;
        return;
    }
    *(char ***)((char *)out + field->offset) = list;
    for (size_t i = 0; i < n; i++) {
        const struct json_path item = {.parent = path, .index = i};
        const char *text = checked_text(reader, &item, json_array_get(json, i), field);
        if (text)
            list[kept] = copy_text(reader, text);
        if (text && list[kept])
            kept++;
    }
}

static void read_enum(struct reader *reader, const struct json_path *path, json_t *json,
                      const struct config_field *field, void *out)
{
    const char *text = checked_text(reader, path, json, field);
    int choice = text ? find_choice(field->choices, text, strlen(text)) : -1;
    if (choice >= 0)
        store_uint(field, out, field->min + (uint64_t)choice);
    else if (text)
        not_allowed(reader, path, text, "is none of the choices", field);
}

static void read_flags(struct reader *reader, const struct json_path *path, json_t *json,
                       const struct config_field *field, void *out)
{
    uint64_t flags = 0;
    if (!is_list_of_allowed_length(reader, path, json, field))
        return;
    for (size_t i = 0; i < json_array_size(json); i++) {
        const struct json_path item = {.parent = path, .index = i};
        const char *text = checked_text(reader, &item, json_array_get(json, i), field);
        int choice = text ? find_choice(field->choices, text, strlen(text)) : -1;
        if (choice >= 0)
            flags |= 1u << choice;
        else if (text)
            not_allowed(reader, &item, text, "is none of the choices", field);
    }
    store_uint(field, out, flags);
}

static void read_url(struct reader *reader, const struct json_path *path, json_t *json,
                     const struct config_field *field, void *out)
{
    const char *url = checked_text(reader, path, json, field), *why;
    int r = url ? config_upstream_add_url(out, url, &why) : 0;
    if (r == -EINVAL) // a URL may hold a password
        reader_complain(reader, path, "'%.80s' %s", strchr(url, '@') ? "********" : url, why);
    else if (r < 0)
        reader->no_memory = true;
}

static void read_urls(struct reader *reader, const struct json_path *path, json_t *json,
                      const struct config_field *field, void *out)
{
    if (!is_list_of_allowed_length(reader, path, json, field))
        return;
    for (size_t i = 0; i < json_array_size(json); i++) {
        const struct json_path item = {.parent = path, .index = i};
        read_url(reader, &item, json_array_get(json, i), field, out);
    }
}

static void read_ref(struct reader *reader, const struct json_path *path, json_t *json,
                     const struct config_field *field, void *out)
{
    const char *name = checked_text(reader, path, json, field);
    struct strbuf names = STRBUF_INIT;
    if (!name)
        return;
    for (size_t i = 0; i < reader->model->n_upstreams; i++) {
        const char *upstream = reader->model->upstreams[i].name;
        if (upstream && strcmp(upstream, name) == 0) {
            *(size_t *)((char *)out + field->offset) = i;
            strbuf_fini(&names);
            return;
        }
        if (upstream)
            strbuf_printf(&names, "%s%s", names.len ? ", " : "", upstream);
    }
    reader_complain(reader, path, "no upstream named '%.80s'; there %s%s", name,
                    names.len ? "are: " : "is none", strbuf_text(&names));
    strbuf_fini(&names);
}

static void read_objects(struct reader *reader, const struct json_path *path, json_t *json,
                         const struct config_field *field, void *out)
{
    if (!is_list_of_allowed_length(reader, path, json, field))
        return;
    size_t n = json_array_size(json);
    size_t *count = (size_t *)((char *)out + field->count_offset);
    char *items = (char *)out + field->offset;
    if (!field->inline_max) {
        items = n ? calloc(n, field->child_size) : NULL;
        *(void **)((char *)out + field->offset) = items;
        if (n && !items) {
            reader->no_memory = true;
            return;
        }
    }
    for (size_t i = 0; i < n; i++) {
        const struct json_path item = {.parent = path, .index = i};
        *count = i + 1; // so that the checks see those before it, and all are freed
        reader_object(reader, &item, json_array_get(json, i), field->child,
                      items + i * field->child_size);
    }
}

// A parameter's value as the text it would have in the environment; NULL: not one.
static char *parameter_text(json_t *json)
{
    char number[32];
    if (json_is_string(json))
        return strdup(json_string_value(json));
    if (json_is_boolean(json))
        return strdup(json_is_true(json) ? "true" : "false");
    snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(json));
    return strdup(number);
}

char *reader_place(struct reader *reader, const struct json_path *path)
{
    size_t line, column;
    char *place;
    json_place(reader->text, reader->len, path, &line, &column);
    if (asprintf(&place, "%s:%zu:%zu", reader->file, line, column) >= 0)
        return place;
    reader->no_memory = true;
    return NULL;
}

static void add_parameter(struct reader *reader, const struct json_path *path, json_t *json)
{
    struct config_parameter *parameter = &reader->model->parameters[reader->model->n_parameters];
    parameter->name = strdup(path->key);
    parameter->value = parameter_text(json);
    parameter->place = reader_place(reader, path);
    reader->model->n_parameters++;
    if (!parameter->name || !parameter->value)
        reader->no_memory = true;
}

static void read_parameters(struct reader *reader, const struct json_path *path, json_t *json)
{
    const char *key, *nearest;
    json_t *value;
    if (!json_is_object(json)) {
        reader_complain(reader, path, "is %s, allowed is an object of parameters", kind_of(json));
        return;
    }
    reader->model->parameters = calloc(json_object_size(json) + 1, sizeof(struct config_parameter));
    if (!reader->model->parameters) {
        reader->no_memory = true;
        return;
    }
    json_object_foreach(json, key, value)
    {
        struct json_path item = {.parent = path, .key = key};
        if (!param_is_known(key, &nearest)) {
            item.at_key = true;
            reader_complain(reader, &item, "there is no such parameter%s%s%s",
                            nearest ? "; did you mean " : ", docs/configuration.md lists them",
                            nearest ? nearest : "", nearest ? "?" : "");
        } else if (strcmp(key, "CONFIG_FILE") == 0) {
            reader_complain(reader, &item,
                            "cannot stand in the file that it names, allowed is "
                            "the environment or --set");
        } else if (!json_is_string(value) && !json_is_integer(value) && !json_is_boolean(value)) {
            reader_complain(reader, &item,
                            "is %s, allowed is a text, a whole number, true or false",
                            kind_of(value));
        } else {
            add_parameter(reader, &item, value);
        }
    }
}

static void read_field(struct reader *reader, const struct json_path *path, json_t *json,
                       const struct config_field *field, void *out)
{
    typedef void read_fn(struct reader *, const struct json_path *, json_t *,
                         const struct config_field *, void *);
    static read_fn *const by_type[] = {
        [FIELD_UINT] = read_uint,       [FIELD_BOOL] = read_bool,   [FIELD_STR] = read_str,
        [FIELD_ENUM] = read_enum,       [FIELD_FLAGS] = read_flags, [FIELD_STRS] = read_strs,
        [FIELD_URL] = read_url,         [FIELD_URLS] = read_urls,   [FIELD_REF] = read_ref,
        [FIELD_OBJECTS] = read_objects,
    };
    if (field->type == FIELD_OBJECT)
        reader_object(reader, path, json, field->child, (char *)out + field->offset);
    else if (field->type == FIELD_MAP)
        read_parameters(reader, path, json);
    else if (field->type == FIELD_NOTE)
        checked_text(reader, path, json, field);
    else
        by_type[field->type](reader, path, json, field, out);
}

static int set_default(const struct config_field *field, void *out)
{
    uint64_t number = UINT64_MAX;
    const char *cursor = field->default_text;
    uint64_t flags = 0;
    if (!cursor)
        return 0;
    switch (field->type) {
    case FIELD_OBJECT:
        return config_object_defaults(field->child, (char *)out + field->offset);
    case FIELD_UINT:
        if (strcmp(cursor, "unset") != 0)
            ASSERT(parse_u64(cursor, field->min, field->max, &number) == 0);
        store_uint(field, out, number);
        return 0;
    case FIELD_BOOL:
        ASSERT(parse_bool(cursor, (bool *)((char *)out + field->offset)) == 0);
        return 0;
    case FIELD_FLAGS:
        for (size_t len; *cursor; cursor += len + (cursor[len] == '|')) {
            len = strcspn(cursor, "|");
            int choice = find_choice(field->choices, cursor, len);
            ASSERT(choice >= 0);
            flags |= 1u << choice;
        }
        store_uint(field, out, flags);
        return 0;
    case FIELD_ENUM:
        store_uint(field, out,
                   field->min + (uint64_t)find_choice(field->choices, cursor, strlen(cursor)));
        return 0;
    default:
        ASSERT(field->type == FIELD_STR);
        *text_at(field, out) = strdup(cursor);
        return *text_at(field, out) ? 0 : -ENOMEM;
    }
}

int config_object_defaults(enum config_object object, void *out)
{
    for (size_t i = 0; i < config_n_fields(); i++) {
        const struct config_field field = config_field_at(i);
        if (field.object == object && set_default(&field, out) < 0)
            return -ENOMEM;
    }
    return 0;
}

static void refuse_unknown_key(struct reader *reader, const struct json_path *path,
                               const char *const *known, size_t n_known)
{
    const char *nearest = nearest_name(path->key, known, n_known);
    struct strbuf names = STRBUF_INIT;
    if (nearest) {
        reader_complain(reader, path, "there is no such field; did you mean %s?", nearest);
        return;
    }
    for (size_t i = 0; i < n_known; i++)
        strbuf_printf(&names, "%s%s", i ? ", " : "", known[i]);
    reader_complain(reader, path, "there is no such field, allowed %s", strbuf_text(&names));
    strbuf_fini(&names);
}

static void refuse_unknown_keys(struct reader *reader, const struct json_path *path, json_t *json,
                                enum config_object object)
{
    const char *known[64], *key;
    size_t n_known = 0;
    json_t *value;
    for (size_t i = 0; i < config_n_fields(); i++) {
        const struct config_field field = config_field_at(i);
        if (field.object == object)
            known[n_known++] = field.key;
        ASSERT(n_known < sizeof(known) / sizeof(known[0]));
    }
    json_object_foreach(json, key, value)
    {
        const struct json_path item = {.parent = path, .key = key, .at_key = true};
        bool is_known = false;
        for (size_t i = 0; i < n_known; i++)
            is_known |= strcmp(known[i], key) == 0;
        if (!is_known)
            refuse_unknown_key(reader, &item, known, n_known);
    }
}

void reader_object(struct reader *reader, const struct json_path *path, json_t *json,
                   enum config_object object, void *out)
{
    if (!json_is_object(json)) {
        reader_complain(reader, path, "is %s, allowed is an object", kind_of(json));
        return;
    }
    for (size_t i = 0; i < config_n_fields(); i++) {
        const struct config_field field = config_field_at(i);
        const struct json_path member = {.parent = path, .key = field.key};
        if (field.object != object)
            continue;
        json_t *value = json_object_get(json, field.key);
        if (value)
            read_field(reader, &member, value, &field, out);
        else if (field.required)
            reader_complain(reader, path, "the field '%s' is missing", field.key);
        else if (set_default(&field, out) < 0)
            reader->no_memory = true;
    }
    refuse_unknown_keys(reader, path, json, object);
    if (!reader->no_memory)
        reader_check(reader, path, json, object, out);
}

static void fini_field(const struct config_field *field, void *out)
{
    void *at = (char *)out + field->offset;
    if (field->type == FIELD_STR) {
        free(*(char **)at);
    } else if (field->type == FIELD_STRS) {
        for (char **p = *(char ***)at; p && *p; p++)
            free(*p);
        free(*(char ***)at);
    } else if (field->type == FIELD_OBJECT) {
        config_object_fini(field->child, at);
    } else if (field->type == FIELD_OBJECTS) {
        size_t n = *(size_t *)((char *)out + field->count_offset);
        char *items = field->inline_max ? at : *(char **)at;
        for (size_t i = 0; i < n; i++)
            config_object_fini(field->child, items + i * field->child_size);
        if (!field->inline_max)
            free(items);
    }
}

void config_object_fini(enum config_object object, void *out)
{
    if (object == OBJECT_upstream)
        config_upstream_drop_endpoints(out);
    if (object == OBJECT_policy)
        free(((struct config_policy *)out)->place);
    for (size_t i = 0; i < config_n_fields(); i++) {
        const struct config_field field = config_field_at(i);
        if (field.object == object)
            fini_field(&field, out);
    }
}
