#include "net/smtp_address.h"

#include <ctype.h>
#include <string.h>

#include "base/utf8.h"
#include "net/smtp_text.h"

#define LOCAL_MAX 64 // RFC 5321 4.5.3.1.1

// Well-formed UTF-8, and beyond ASCII nothing that is not seen (U+0080 to U+00A0, U+2028, U+2029).
static bool is_visible(const char *text, size_t len)
{
    const unsigned char *p = (const unsigned char *)text;
    for (size_t i = 0, n, bad; i < len; i += n) {
        n = utf8_sequence(p + i, len - i, &bad);
        bool control = n == 2 && p[i] == 0xc2 && p[i + 1] <= 0xa0;
        bool separator = n == 3 && p[i] == 0xe2 && p[i + 1] == 0x80 && (p[i + 2] & 0xfe) == 0xa8;
        if (n == 0 || control || separator)
            return false;
    }
    return true;
}

static bool is_letter(unsigned char c)
{
    return c >= 0x80 || isalnum(c) != 0;
}

bool smtp_address_is_valid(const char *text, size_t len)
{
    const char *at = memchr(text, '@', len);
    size_t local = at != NULL ? (size_t)(at - text) : 0;
    if (len >= SMTP_ADDRESS_MAX || local == 0 || local > LOCAL_MAX || local + 1 >= len ||
        !is_visible(text, len))
        return false;
    for (size_t i = 0; i < local; i++) {
        unsigned char c = (unsigned char)text[i];
        bool dot_ends = c == '.' && (i == 0 || i + 1 == local || text[i + 1] == '.');
        if (dot_ends || c == '\0' || !(is_letter(c) || strchr("!#$%&'*+-/=?^_`{|}~.", c)))
            return false;
    }
    const char *domain = at + 1;
    size_t n = len - local - 1;
    bool literal = n > 2 && domain[0] == '[' && domain[n - 1] == ']';
    for (size_t i = literal ? 1 : 0; i < n - (literal ? 1 : 0); i++) {
        unsigned char c = (unsigned char)domain[i];
        if (!is_letter(c) && c != '.' && c != '-' && !(literal && c == ':'))
            return false;
    }
    return literal ||
           (is_letter((unsigned char)domain[0]) && is_letter((unsigned char)domain[n - 1]) &&
            memmem(domain, n, "..", 2) == NULL);
}

static void trim(const char **text, size_t *len)
{
    while (*len > 0 && ((*text)[0] == ' ' || (*text)[0] == '\t')) {
        (*text)++;
        (*len)--;
    }
    while (*len > 0 && ((*text)[*len - 1] == ' ' || (*text)[*len - 1] == '\t'))
        (*len)--;
}

// As it is of letters, digits and blanks, else quoted, or as encoded words.
static void append_name(struct strbuf *out, const char *name, size_t len)
{
    bool plain = true;
    for (size_t i = 0; i < len; i++)
        plain = plain && (isalnum((unsigned char)name[i]) || name[i] == ' ');
    if (!smtp_text_is_ascii(name, len) || len > 60 || memmem(name, len, "=?", 2) != NULL) {
        smtp_text_words(out, name, len);
    } else if (plain) {
        strbuf_append(out, name, len);
    } else {
        strbuf_puts(out, "\"");
        for (size_t i = 0; i < len; i++) {
            if (name[i] == '"' || name[i] == '\\')
                strbuf_puts(out, "\\");
            strbuf_append(out, name + i, 1);
        }
        strbuf_puts(out, "\"");
    }
}

// The name as it is meant: without the quotes that stand around all of it.
static void append_unquoted(struct strbuf *out, const char *name, size_t len)
{
    bool quoted = len >= 2 && name[0] == '"' && name[len - 1] == '"';
    for (size_t i = quoted ? 1 : 0; i < len - (quoted ? 1 : 0); i++) {
        if (quoted && name[i] == '\\' && i + 2 < len)
            i++;
        strbuf_append(out, name + i, 1);
    }
}

bool smtp_address_read(const char *text, size_t len, struct strbuf *field,
                       char ret_address[SMTP_ADDRESS_MAX])
{
    trim(&text, &len);
    const char *angle = len > 0 && text[len - 1] == '>' ? memrchr(text, '<', len) : NULL;
    const char *address = angle != NULL ? angle + 1 : text;
    size_t address_len = angle != NULL ? (size_t)(text + len - 1 - address) : len;
    size_t name_len = angle != NULL ? (size_t)(angle - text) : 0;
    trim(&text, &name_len);
    if (!smtp_text_is_line(text, name_len) || !smtp_address_is_valid(address, address_len))
        return false;
    memcpy(ret_address, address, address_len);
    ret_address[address_len] = '\0';
    if (field == NULL)
        return true;
    if (name_len > 0) {
        struct strbuf name = STRBUF_INIT;
        append_unquoted(&name, text, name_len);
        append_name(field, strbuf_text(&name), name.len);
        field->failed = field->failed || !strbuf_ok(&name);
        strbuf_fini(&name);
        strbuf_printf(field, "%s<%s>", name_len > 0 ? " " : "", ret_address);
    } else {
        strbuf_puts(field, ret_address);
    }
    return true;
}

// ---- lists ----------------------------------------------------------------------------------

struct list {
    char item[SMTP_ADDRESS_MAX]; // of the address, so far
    size_t len;
    bool too_long, in_angle, had_angle, in_quotes;
    unsigned comments;
    bool (*each)(void *arg, const char *address);
    void *arg;
};

static bool end_item(struct list *list)
{
    bool empty = list->len == 0 && !list->had_angle && !list->too_long;
    bool fits = !list->in_angle && !list->too_long && smtp_address_is_valid(list->item, list->len);
    list->item[list->len] = '\0';
    bool ok = empty || (fits && list->each(list->arg, list->item));
    list->len = 0;
    list->too_long = list->had_angle = false;
    return ok;
}

static void begin_item(struct list *list)
{
    list->len = 0;
    list->too_long = false;
}

static void add(struct list *list, char c)
{
    if (isspace((unsigned char)c) || (list->had_angle && !list->in_angle))
        return; // blanks, and what stands behind the angle
    if (list->len + 1 < sizeof(list->item))
        list->item[list->len++] = c;
    else
        list->too_long = true;
}

static bool take(struct list *list, char c)
{
    switch (c) {
    case '<': // what came before is the name
        begin_item(list);
        list->in_angle = list->had_angle = true;
        return true;
    case '>':
        list->in_angle = false;
        return true;
    case ':': // a group's name came before
        if (!list->in_angle)
            begin_item(list);
        else
            add(list, c);
        return true;
    case ',':
    case ';':
        return end_item(list);
    default:
        add(list, c);
        return true;
    }
}

bool smtp_address_list(const char *text, size_t len, bool (*each)(void *arg, const char *address),
                       void *arg)
{
    struct list list = {.each = each, .arg = arg};
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if ((list.in_quotes || list.comments > 0) && c == '\\' && i + 1 < len) {
            i++;
            if (list.in_quotes)
                add(&list, '"'); // in no valid address
        } else if (list.comments > 0) {
            list.comments += c == '(';
            list.comments -= c == ')';
        } else if (c == '"') {
            list.in_quotes = !list.in_quotes;
            add(&list, c);
        } else if (list.in_quotes) {
            add(&list, c);
        } else if (c == '(') {
            list.comments = 1;
        } else if (!take(&list, c)) {
            return false;
        }
    }
    return !list.in_quotes && list.comments == 0 && end_item(&list);
}
