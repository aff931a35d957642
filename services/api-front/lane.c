#include "lane.h"

#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define JSON_PREFIX "json:"
#define TOKEN_MAX   128
#define HASH_BYTES  16

struct lane {
    char *text; // LANE_MAX
    size_t len; // of what was wanted
    crypto_generichash_state hash;
};

static void add(struct lane *lane, const char *text, size_t len)
{
    size_t room = lane->len < LANE_MAX - 1 ? LANE_MAX - 1 - lane->len : 0;
    memcpy(lane->text + (LANE_MAX - 1 - room), text, len < room ? len : room);
    lane->len += len;
    lane->text[lane->len < LANE_MAX - 1 ? lane->len : LANE_MAX - 1] = '\0';
    crypto_generichash_update(&lane->hash, (const unsigned char *)text, len);
}

static void add_part(struct lane *lane, const char *name, const char *value, size_t len)
{
    if (lane->len > 0)
        add(lane, " ", 1);
    add(lane, name, strlen(name));
    add(lane, "=", 1);
    add(lane, value, len);
}

// One reference token of a pointer, without its escapes; returns what follows it.
static const char *read_token(const char *at, char ret_token[TOKEN_MAX])
{
    size_t len = 0;
    for (; *at != '\0' && *at != '/' && len < TOKEN_MAX - 1; at++) {
        bool escaped = *at == '~' && (at[1] == '0' || at[1] == '1');
        ret_token[len++] = (char)(!escaped ? *at : at[1] == '1' ? '/' : '~');
        at += escaped;
    }
    ret_token[len] = '\0';
    return at;
}

static const json_t *element(const json_t *array, const char *token)
{
    size_t digits = strspn(token, "0123456789");
    bool is_index =
        digits > 0 && digits < 8 && token[digits] == '\0' && (token[0] != '0' || digits == 1);
    return is_index ? json_array_get(array, strtoul(token, NULL, 10)) : NULL;
}

static const json_t *json_at(const json_t *value, const char *pointer)
{
    char token[TOKEN_MAX];
    while (value != NULL && *pointer == '/') {
        pointer = read_token(pointer + 1, token);
        value = json_is_array(value) ? element(value, token) : json_object_get(value, token);
    }
    return value;
}

static void add_json(struct lane *lane, const char *name, const json_t *body)
{
    const json_t *value = json_at(body, name + strlen(JSON_PREFIX));
    bool is_scalar = json_is_string(value) || json_is_number(value) || json_is_boolean(value);
    // As JSON: no byte of it can disturb whoever looks at it.
    char *text = is_scalar ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    if (text != NULL)
        add_part(lane, name, text, strlen(text));
    free(text);
}

static void add_field(struct lane *lane, const char *name, const struct lane_source *source)
{
    for (size_t i = 0; i < source->n_headers; i++) {
        const struct http_header *field = &source->headers[i];
        if (field->name_len != strlen(name) || strncasecmp(field->name, name, field->name_len) != 0)
            continue;
        if (field->value_len > 0)
            add_part(lane, name, field->value, field->value_len);
        return;
    }
}

void lane_read(char *const *order_by, const struct lane_source *source, char ret_lane[LANE_MAX])
{
    struct lane lane = {.text = ret_lane};
    json_t *body = NULL;
    bool parsed = false;
    ret_lane[0] = '\0';
    crypto_generichash_init(&lane.hash, NULL, 0, HASH_BYTES);
    for (; order_by != NULL && *order_by != NULL; order_by++) {
        if (strncmp(*order_by, JSON_PREFIX, strlen(JSON_PREFIX)) != 0) {
            add_field(&lane, *order_by, source);
            continue;
        }
        if (!parsed && source->body != NULL)
            body = json_loadb(source->body, source->body_len, 0, NULL);
        parsed = true;
        add_json(&lane, *order_by, body);
    }
    json_decref(body);
    if (lane.len >= LANE_MAX) {
        unsigned char hash[HASH_BYTES];
        crypto_generichash_final(&lane.hash, hash, sizeof(hash));
        sodium_bin2hex(ret_lane + LANE_MAX - 2 * HASH_BYTES - 1, 2 * HASH_BYTES + 1, hash,
                       sizeof(hash));
    }
}
