#include "config/json_place.h"

#include <ctype.h>
#include <jansson.h>
#include <string.h>

struct text {
    const char *bytes;
    size_t len;
};

static char at(const struct text *text, size_t i)
{
    return i < text->len ? text->bytes[i] : '\0';
}

static size_t skip_space(const struct text *text, size_t i)
{
    while (i < text->len && strchr(" \t\r\n", text->bytes[i]))
        i++;
    return i;
}

// `i` is at the opening quote; the result is behind the closing one.
static size_t skip_string(const struct text *text, size_t i)
{
    for (i++; i < text->len && text->bytes[i] != '"'; i++)
        if (text->bytes[i] == '\\')
            i++;
    return i + 1 < text->len ? i + 1 : text->len;
}

static size_t skip_value(const struct text *text, size_t i)
{
    size_t depth = 0;
    do {
        char c = at(text, i);
        if (c == '"') {
            i = skip_string(text, i);
            continue;
        }
        if (c == '{' || c == '[')
            depth++;
        else if (c == '}' || c == ']')
            depth--;
        i++;
        if (depth == 0 && c != '}' && c != ']') // a number, true, false or null
            while (i < text->len && !strchr(",]} \t\r\n", text->bytes[i]))
                i++;
    } while (depth > 0 && i < text->len);
    return i;
}

// Whether the quoted string stands for `key`; jansson decodes the rare one with escapes.
static bool is_key(const char *quoted, size_t len, const char *key)
{
    if (!memchr(quoted, '\\', len))
        return strlen(key) == len - 2 && memcmp(quoted + 1, key, len - 2) == 0;
    json_t *decoded = json_loadb(quoted, len, JSON_DECODE_ANY, NULL);
    bool same = json_is_string(decoded) && strcmp(json_string_value(decoded), key) == 0;
    json_decref(decoded);
    return same;
}

static size_t find(const struct text *text, const struct json_path *path);

static size_t find_child(const struct text *text, const struct json_path *path)
{
    size_t i = find(text, path->parent) + 1; // behind the bracket
    for (size_t n = 0; i < text->len; n++) {
        i = skip_space(text, i);
        if (at(text, i) == '}' || at(text, i) == ']')
            return i;
        size_t start = i;
        bool found = !path->key && n == path->index;
        if (path->key) {
            i = skip_string(text, i);
            found = i - start >= 2 && is_key(text->bytes + start, i - start, path->key);
            i = skip_space(text, skip_space(text, i) + 1); // the colon
        }
        if (found)
            return path->at_key ? start : i;
        i = skip_space(text, skip_value(text, i));
        if (at(text, i) == ',')
            i++;
    }
    return text->len;
}

static size_t find(const struct text *text, const struct json_path *path)
{
    return path->parent ? find_child(text, path) : skip_space(text, 0);
}

void json_place(const char *bytes, size_t len, const struct json_path *path, size_t *ret_line,
                size_t *ret_column)
{
    const struct text text = {bytes, len};
    size_t end = find(&text, path), line = 1, column = 1;
    for (size_t i = 0; i < end && i < len; i++) {
        if (bytes[i] == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)bytes[i] & 0xC0) != 0x80) { // not the rest of a character
            column++;
        }
    }
    *ret_line = line;
    *ret_column = column;
}

static bool is_plain_word(const char *key)
{
    for (const char *p = key; *p; p++)
        if (!isalnum((unsigned char)*p) && *p != '_' && *p != '-' && *p != '$')
            return false;
    return key[0] != '\0';
}

void json_path_text(const struct json_path *path, struct strbuf *out)
{
    if (!path->parent)
        return;
    json_path_text(path->parent, out);
    if (!path->key) {
        strbuf_printf(out, "[%zu]", path->index);
    } else if (is_plain_word(path->key)) {
        strbuf_printf(out, "%s%s", path->parent->parent ? "." : "", path->key);
    } else {
        strbuf_puts(out, "[");
        strbuf_json_string(out, path->key, strlen(path->key));
        strbuf_puts(out, "]");
    }
}
