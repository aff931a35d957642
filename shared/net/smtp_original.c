#include "net/smtp_original.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define LINE_MAX_BYTES 998 // RFC 5322 2.1.1

struct original {
    const struct smtp_source *source;
    struct smtp_message *message;
    char *error;
    const char *field; // whose addresses are read
    bool has_from, has_date, has_id;
    int rc;
};

static int complain(struct original *o, const char *field, const char *why)
{
    snprintf(o->error, SMTP_ERROR_MAX, "%s: %s", field, why);
    return -EINVAL;
}

// CRLF ends each line. What a server could read as another line than we do is refused: a CR or a
// NUL of its own (that is how messages are smuggled).
static int read_lines(struct original *o, struct strbuf *out)
{
    const char *at = o->source->body, *end = at + o->source->body_len;
    while (at < end) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        const char *stop = lf != NULL ? lf : end;
        size_t len = (size_t)(stop - at);
        if (lf != NULL && len > 0 && at[len - 1] == '\r')
            len--;
        if (memchr(at, '\r', len) != NULL || memchr(at, '\0', len) != NULL)
            return complain(o, "body", "has a NUL, or a CR without LF");
        if (len > LINE_MAX_BYTES)
            return complain(o, "body", "has a line of more than 998 bytes");
        strbuf_append(out, at, len);
        strbuf_puts(out, "\r\n");
        at = lf != NULL ? lf + 1 : end;
    }
    return strbuf_ok(out) ? 0 : -ENOMEM;
}

static bool add_sender(void *arg, const char *address)
{
    struct original *o = arg;
    if (o->message->sender[0] == '\0')
        snprintf(o->message->sender, sizeof(o->message->sender), "%s", address);
    return true;
}

static bool add_recipient(void *arg, const char *address)
{
    struct original *o = arg;
    o->rc = smtp_message_add(o->message, address, o->field, o->error);
    return o->rc == 0;
}

static int read_addresses(struct original *o, const char *field, const char *value, size_t len,
                          bool (*each)(void *arg, const char *address))
{
    o->field = field;
    o->rc = 0;
    if (smtp_address_list(value, len, each, o))
        return 0;
    return o->rc < 0 ? o->rc : complain(o, field, "is no list of addresses like a@example.org");
}

// The first "<...>" is the message's name.
static void read_id(struct original *o, const char *value, size_t len)
{
    const char *from = memchr(value, '<', len);
    const char *to = from != NULL ? memchr(from, '>', len - (size_t)(from - value)) : NULL;
    o->has_id = true;
    if (to != NULL && (size_t)(to - from) + 2 <= sizeof(o->message->id))
        snprintf(o->message->id, sizeof(o->message->id), "%.*s", (int)(to - from) + 1, from);
}

// One field, with its folds. What is not Bcc stays as it is.
static int read_field(struct original *o, const char *field, size_t len)
{
    static const char *const to_names[] = {"To", "Cc", "Bcc"};
    const char *colon = memchr(field, ':', len);
    size_t name_len = colon != NULL ? (size_t)(colon - field) : 0;
    const char *value = field + name_len + 1;
    int rc = 0;
    for (size_t i = 0; i < name_len; i++)
        if (field[i] <= ' ' || field[i] == 0x7f)
            name_len = 0;
    if (name_len == 0)
        return complain(o, "body", "begins with something else than a header");
    size_t value_len = len - name_len - 1;
    bool is_bcc = false;
    for (int i = 0; i < 3; i++) {
        if (strlen(to_names[i]) == name_len && strncasecmp(field, to_names[i], name_len) == 0) {
            rc = read_addresses(o, to_names[i], value, value_len, add_recipient);
            is_bcc = i == 2;
        }
    }
    if (name_len == 4 && strncasecmp(field, "From", 4) == 0) {
        rc = o->has_from ? complain(o, "From", "is there twice")
                         : read_addresses(o, "From", value, value_len, add_sender);
        o->has_from = true;
    }
    o->has_date = o->has_date || (name_len == 4 && strncasecmp(field, "Date", 4) == 0);
    if (name_len == 10 && strncasecmp(field, "Message-ID", 10) == 0)
        read_id(o, value, value_len);
    if (!is_bcc)
        strbuf_append(&o->message->text, field, len);
    return rc;
}

// Where the header ends: before the empty line.
static const char *read_header(struct original *o, const char *at, const char *end, int *ret_rc)
{
    *ret_rc = 0;
    while (at < end && *at != '\r' && *ret_rc == 0) {
        const char *stop = at;
        do
            stop = (const char *)memchr(stop, '\n', (size_t)(end - stop)) + 1;
        while (stop < end && (*stop == ' ' || *stop == '\t'));
        *ret_rc = read_field(o, at, (size_t)(stop - at));
        at = stop;
    }
    return at;
}

int smtp_original_read(const struct smtp_source *source, struct smtp_message *message,
                       char error[SMTP_ERROR_MAX])
{
    struct original o = {.source = source, .message = message, .error = error};
    struct strbuf lines = STRBUF_INIT;
    int rc = read_lines(&o, &lines);
    const char *text = strbuf_text(&lines), *end = text + lines.len;
    if (rc == 0)
        text = read_header(&o, text, end, &rc);
    if (rc == 0 && message->sender[0] == '\0')
        rc = complain(&o, "From", "is missing");
    if (rc == 0 && message->n_recipients == 0)
        rc = complain(&o, "To", "is missing: a message needs a recipient in To, Cc or Bcc");
    if (rc == 0) {
        if (!o.has_date)
            smtp_message_date(&message->text, source->date_s);
        if (message->id[0] == '\0')
            smtp_message_own_id(message, source->id);
        if (!o.has_id)
            strbuf_printf(&message->text, "Message-ID: %s\r\n", message->id);
        if (text == end)
            strbuf_puts(&message->text, "\r\n"); // a header alone
        strbuf_append(&message->text, text, (size_t)(end - text));
    }
    strbuf_fini(&lines);
    return rc;
}
