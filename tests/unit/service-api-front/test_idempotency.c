// The Idempotency-Key field: a structured-field string (RFC 8941 3.3.3), or a plain token.
#include <criterion/criterion.h>
#include <string.h>

#include "idempotency.h"

static struct http_header field(const char *name, const char *value)
{
    return (struct http_header){
        .name = name, .name_len = strlen(name), .value = value, .value_len = strlen(value)};
}

static enum idempotency read_one(const char *value, const char **key, size_t *len)
{
    const struct http_header headers[] = {field("Host", "x"), field("IDEMPOTENCY-key", value)};
    return idempotency_read(headers, 2, key, len);
}

Test(idempotency, forms_of_a_key)
{
    static const struct {
        const char *value, *key; // NULL: bad
    } table[] = {
        {"\"8e03978e-40d5-43dd-bc93-6894a57f9324\"", "8e03978e-40d5-43dd-bc93-6894a57f9324"},
        {"8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"},
        {"\"a b\"", "a b"},
        {"\"a;b,c\"", "a;b,c"},
        {"\"a\\\"b\\\\\"", "a\\\"b\\\\"},
        {"a", "a"},
        {"\"\"", NULL},
        {"", NULL},
        {"\"", NULL},
        {"\"a", NULL},
        {"a\"", NULL},
        {"\"a\"b\"", NULL},
        {"\"a\\n\"", NULL},
        {"\"a\\\"", NULL},
        {"a b", NULL},
        {"a,b", NULL},
        {"\"a\", \"b\"", NULL},
        {"\"a\";q=1", NULL},
        {"\"\x7f\"", NULL},
        {"\"\xc3\xa4\"", NULL},
        {"\xc3\xa4", NULL},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const char *key = NULL;
        size_t len = 0;
        enum idempotency found = read_one(table[i].value, &key, &len);
        cr_assert_eq(found, table[i].key != NULL ? IDEMPOTENCY_KEY : IDEMPOTENCY_BAD, "%s",
                     table[i].value);
        if (table[i].key != NULL)
            cr_expect(len == strlen(table[i].key) && memcmp(key, table[i].key, len) == 0, "%s",
                      table[i].value);
        else
            cr_expect_null(key, "untouched: %s", table[i].value);
    }
}

Test(idempotency, quotes_do_not_count_towards_the_length)
{
    char value[IDEMPOTENCY_KEY_MAX + 4];
    const char *key;
    size_t len;
    memset(value, 'k', sizeof(value));
    value[IDEMPOTENCY_KEY_MAX] = '\0';
    cr_assert_eq(read_one(value, &key, &len), IDEMPOTENCY_KEY);
    value[IDEMPOTENCY_KEY_MAX] = 'k';
    value[IDEMPOTENCY_KEY_MAX + 1] = '\0';
    cr_assert_eq(read_one(value, &key, &len), IDEMPOTENCY_BAD);
    value[0] = value[IDEMPOTENCY_KEY_MAX + 1] = '"';
    value[IDEMPOTENCY_KEY_MAX + 2] = '\0';
    cr_assert_eq(read_one(value, &key, &len), IDEMPOTENCY_KEY);
    cr_assert_eq(len, IDEMPOTENCY_KEY_MAX);
}

Test(idempotency, none_and_several)
{
    const struct http_header none[] = {field("Idempotency", "a"), field("X-Idempotency-Key", "a")};
    const struct http_header two[] = {field("Idempotency-Key", "a"), field("Idempotency-Key", "a")};
    const char *key;
    size_t len;
    cr_assert_eq(idempotency_read(none, 2, &key, &len), IDEMPOTENCY_NONE);
    cr_assert_eq(idempotency_read(two, 2, &key, &len), IDEMPOTENCY_BAD);
}
