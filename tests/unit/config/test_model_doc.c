#include <criterion/criterion.h>
#include <jansson.h>
#include <string.h>

#include "config/fields.h"
#include "config/model.h"

Test(model_doc, every_field_is_whole)
{
    for (size_t i = 0; i < config_n_fields(); i++) {
        const struct config_field field = config_field_at(i);
        cr_expect(field.key && field.key[0]);
        cr_expect(field.help && field.help[0], "%s", field.key);
        for (size_t j = 0; j < i; j++) {
            const struct config_field other = config_field_at(j);
            cr_expect(other.object != field.object || strcmp(other.key, field.key) != 0, "%s twice",
                      field.key);
        }
    }
}

// Every field of every object, found by following the schema itself.
Test(model_doc, schema_has_every_field)
{
    static const char *const defs[N_OBJECTS] = {
        [OBJECT_limits] = "limits",     [OBJECT_tier] = "tier",
        [OBJECT_region] = "region",     [OBJECT_policy] = "policy",
        [OBJECT_match] = "match",       [OBJECT_override] = "override",
        [OBJECT_upstream] = "upstream", [OBJECT_breaker] = "breaker",
        [OBJECT_ejection] = "ejection", [OBJECT_retry] = "retry",
        [OBJECT_route] = "route",       [OBJECT_fallback] = "fallback",
        [OBJECT_header] = "header",     [OBJECT_tls] = "tls",
        [OBJECT_smtp] = "smtp",         [OBJECT_probe] = "probe",
        [OBJECT_outcomes] = "outcomes", [OBJECT_advice] = "advice",
        [OBJECT_scaling] = "scaling",   [OBJECT_rate] = "rate"};
    struct strbuf out = STRBUF_INIT;
    cr_assert_eq(config_model_schema(&out), 0);
    json_t *schema = json_loads(strbuf_text(&out), JSON_REJECT_DUPLICATES, NULL);
    cr_assert_not_null(schema);
    cr_expect_str_eq(json_string_value(json_object_get(schema, "$schema")),
                     "https://json-schema.org/draft/2020-12/schema");
    for (size_t i = 0; i < config_n_fields(); i++) {
        const struct config_field field = config_field_at(i);
        json_t *object = schema;
        if (defs[field.object])
            object = json_object_get(json_object_get(schema, "$defs"), defs[field.object]);
        json_t *property = json_object_get(json_object_get(object, "properties"), field.key);
        cr_expect(json_is_object(property), "%s", field.key);
        cr_expect_str_eq(json_string_value(json_object_get(property, "description")), field.help);
        cr_expect(json_is_false(json_object_get(object, "additionalProperties")));
    }
    json_t *timeout = json_object_get(
        json_object_get(json_object_get(json_object_get(schema, "$defs"), "upstream"),
                        "properties"),
        "connect_timeout_ms");
    cr_expect_eq(json_integer_value(json_object_get(timeout, "default")), 1000);
    cr_expect_eq(json_integer_value(json_object_get(timeout, "maximum")), 600000);
    json_decref(schema);
    strbuf_fini(&out);
}

Test(model_doc, markdown_has_a_row_a_field)
{
    struct strbuf out = STRBUF_INIT;
    config_model_markdown(&out);
    const char *const lines[] = {
        "### upstreams[]\n\n| Field |",
        "| `connect_timeout_ms` | `1000` | 1 to 600000 ms | Connecting may take this long. |\n",
        "| `timeout_ms` | `CB_TIMEOUT` | 1 to 3600000 ms | ",
        "| `methods` | all | GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS, OTHER | ",
        "| `methods` | all | GET, HEAD | ",
        "| `upstream` | required | the name of an upstream | ",
        "| `max_body_bytes` | none | "};
    for (size_t i = 0; i < 7; i++)
        cr_expect_not_null(strstr(strbuf_text(&out), lines[i]), "%s", lines[i]);
    strbuf_fini(&out);
}
