// The configuration file described: JSON Schema (draft 2020-12) and markdown.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/parse.h"
#include "config/reader.h"

static void set(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value); // takes NULL for "no memory"; the caller looks once
}

static json_t *choices_of(const char *choices)
{
    json_t *list = json_array();
    for (const char *p = choices; *p;) {
        size_t n = strcspn(p, "|");
        json_array_append_new(list, json_stringn(p, n));
        p += n + (p[n] == '|');
    }
    return list;
}

static json_t *default_of(const struct config_field *field)
{
    uint64_t number;
    bool yes;
    switch (field->type) {
    case FIELD_UINT:
        ASSERT(parse_u64(field->default_text, 0, INT64_MAX, &number) == 0);
        return json_integer((json_int_t)number);
    case FIELD_BOOL:
        ASSERT(parse_bool(field->default_text, &yes) == 0);
        return json_boolean(yes);
    case FIELD_FLAGS:
        return choices_of(field->default_text);
    default:
        return json_string(field->default_text);
    }
}

static json_t *text_schema(const struct config_form *form)
{
    json_t *schema = json_object();
    set(schema, "type", json_string("string"));
    if (form && form->pattern)
        set(schema, "pattern", json_string(form->pattern));
    return schema;
}

static json_t *list_schema(const struct config_field *field, json_t *items)
{
    json_t *schema = json_object();
    set(schema, "type", json_string("array"));
    set(schema, "items", items);
    if (field->min)
        set(schema, "minItems", json_integer((json_int_t)field->min));
    set(schema, "maxItems", json_integer((json_int_t)field->max));
    return schema;
}

// Names under "$defs"; the file itself has none.
static const char *const defs_names[N_OBJECTS] = {
    [OBJECT_limits] = "limits",     [OBJECT_tier] = "tier",         [OBJECT_region] = "region",
    [OBJECT_policy] = "policy",     [OBJECT_match] = "match",       [OBJECT_override] = "override",
    [OBJECT_upstream] = "upstream", [OBJECT_breaker] = "breaker",   [OBJECT_ejection] = "ejection",
    [OBJECT_retry] = "retry",       [OBJECT_tls] = "tls",           [OBJECT_smtp] = "smtp",
    [OBJECT_probe] = "probe",       [OBJECT_route] = "route",       [OBJECT_fallback] = "fallback",
    [OBJECT_header] = "header",     [OBJECT_outcomes] = "outcomes", [OBJECT_advice] = "advice",
    [OBJECT_scaling] = "scaling",   [OBJECT_rate] = "rate",
};

static json_t *object_ref(enum config_object object)
{
    char ref[64];
    json_t *schema = json_object();
    snprintf(ref, sizeof(ref), "#/$defs/%s", defs_names[object]);
    set(schema, "$ref", json_string(ref));
    return schema;
}

static json_t *parameters_schema(void)
{
    const char *const *names;
    size_t n = param_all_names(&names);
    json_t *schema = json_object(), *enumeration = json_array(), *key = json_object(),
           *value = json_object();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(enumeration, json_string(names[i]));
    set(key, "enum", enumeration);
    set(value, "type", choices_of("string|integer|boolean"));
    set(schema, "type", json_string("object"));
    set(schema, "propertyNames", key);
    set(schema, "additionalProperties", value);
    return schema;
}

static json_t *field_schema(const struct config_field *field)
{
    json_t *schema = NULL;
    switch (field->type) {
    case FIELD_UINT:
        schema = json_object();
        set(schema, "type", json_string("integer"));
        set(schema, "minimum", json_integer((json_int_t)field->min));
        set(schema, "maximum", json_integer((json_int_t)field->max));
        break;
    case FIELD_BOOL:
        schema = json_object();
        set(schema, "type", json_string("boolean"));
        break;
    case FIELD_STR:
        schema = text_schema(field->form);
        set(schema, "maxLength", json_integer((json_int_t)field->max));
        break;
    case FIELD_ENUM:
        schema = json_object();
        set(schema, "enum", choices_of(field->choices));
        break;
    case FIELD_FLAGS:
        schema = json_object();
        set(schema, "enum", choices_of(field->choices));
        schema = list_schema(field, schema);
        break;
    case FIELD_STRS:
        schema = list_schema(field, text_schema(field->form));
        break;
    case FIELD_URL:
    case FIELD_REF:
    case FIELD_NOTE:
        schema = text_schema(NULL);
        break;
    case FIELD_URLS:
        schema = list_schema(field, text_schema(NULL));
        break;
    case FIELD_OBJECT:
        schema = object_ref(field->child);
        break;
    case FIELD_OBJECTS:
        schema = list_schema(field, object_ref(field->child));
        break;
    case FIELD_MAP:
        schema = parameters_schema();
        break;
    }
    set(schema, "description", json_string(field->help));
    if (field->default_text && field->type != FIELD_OBJECT &&
        strcmp(field->default_text, "unset") != 0)
        set(schema, "default", default_of(field));
    return schema;
}

static void add_object_schema(json_t *schema, enum config_object object)
{
    json_t *properties = json_object(), *required = json_array();
    for (size_t i = 0; i < config_n_fields(); i++) {
        const struct config_field field = config_field_at(i);
        if (field.object != object)
            continue;
        set(properties, field.key, field_schema(&field));
        if (field.required)
            json_array_append_new(required, json_string(field.key));
    }
    set(schema, "type", json_string("object"));
    set(schema, "additionalProperties", json_false());
    if (json_array_size(required) > 0)
        set(schema, "required", json_incref(required));
    json_decref(required);
    set(schema, "properties", properties);
}

int config_model_schema(struct strbuf *out)
{
    json_t *schema = json_object(), *defs = json_object();
    set(schema, "$schema", json_string("https://json-schema.org/draft/2020-12/schema"));
    set(schema, "title", json_string("ValveChain configuration file"));
    add_object_schema(schema, OBJECT_model);
    for (int object = 0; object < N_OBJECTS; object++) {
        if (!defs_names[object])
            continue;
        json_t *def = json_object();
        add_object_schema(def, (enum config_object)object);
        if (object == OBJECT_upstream) // the one rule of model_check.c that a schema says well
            set(def, "oneOf",
                json_pack("[{s:[s]},{s:[s]}]", "required", "url", "required", "urls"));
        set(defs, defs_names[object], def);
    }
    set(schema, "$defs", defs);
    char *text = json_dumps(schema, JSON_INDENT(2));
    json_decref(schema);
    if (!text)
        return -ENOMEM;
    strbuf_puts(out, text);
    strbuf_puts(out, "\n");
    free(text);
    return strbuf_ok(out) ? 0 : -ENOMEM;
}

static void append_default(const struct config_field *field, struct strbuf *out)
{
    const char *text = field->default_text;
    if (field->required)
        strbuf_puts(out, "required");
    else if (field->like)
        strbuf_printf(out, "`%s`", field->like);
    else if (!text || field->type == FIELD_OBJECT || strcmp(text, "unset") == 0)
        strbuf_puts(out, "none");
    else if (field->type == FIELD_FLAGS && strcmp(text, field->choices) == 0)
        strbuf_puts(out, "all");
    else
        for (strbuf_puts(out, "`"); *text || (strbuf_puts(out, "`"), 0); text++)
            strbuf_append(out, *text == '|' ? ", " : text, *text == '|' ? 2 : 1);
}

void config_model_markdown(struct strbuf *out)
{
    for (int object = 0; object < N_OBJECTS; object++) {
        strbuf_printf(out, "### %s\n\n| Field | Default | Allowed | Meaning |\n|---|---|---|---|\n",
                      config_object_title((enum config_object)object));
        for (size_t i = 0; i < config_n_fields(); i++) {
            const struct config_field field = config_field_at(i);
            if (field.object != (enum config_object)object)
                continue;
            strbuf_printf(out, "| `%s` | ", field.key);
            append_default(&field, out);
            strbuf_puts(out, " | ");
            config_field_allowed(&field, out);
            strbuf_printf(out, " | %s. |\n", field.help);
        }
        strbuf_puts(out, "\n");
    }
}
