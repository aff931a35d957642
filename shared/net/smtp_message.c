#include "net/smtp_message.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "net/smtp_original.h"
#include "net/smtp_text.h"

static const char *const fields[] = {"from",     "to",      "cc",   "bcc",
                                     "reply_to", "subject", "text", "html"};
#define N_FIELDS (sizeof(fields) / sizeof(fields[0]))

struct compose {
    const struct smtp_source *source;
    struct smtp_message *message;
    char *error;
    json_t *root;
};

static bool is_type(const char *type, size_t len, const char *name)
{
    size_t n = strlen(name);
    return len >= n && strncasecmp(type, name, n) == 0 &&
           (len == n || type[n] == ';' || type[n] == ' ' || type[n] == '\t');
}

const char *smtp_message_type(const char *type, size_t len)
{
    static const char *const types[] = {"application/json", "message/rfc822"};
    for (size_t i = 0; i < 2; i++)
        if (is_type(type, len, types[i]))
            return types[i];
    return NULL;
}

int smtp_message_add(struct smtp_message *message, const char *address, const char *field,
                     char error[SMTP_ERROR_MAX])
{
    if (message->n_recipients == SMTP_RECIPIENTS_MAX) {
        snprintf(error, SMTP_ERROR_MAX, "%s: there are more than %d recipients", field,
                 SMTP_RECIPIENTS_MAX);
        return -EINVAL;
    }
    snprintf(message->recipients[message->n_recipients++], SMTP_ADDRESS_MAX, "%s", address);
    return 0;
}

void smtp_message_date(struct strbuf *out, int64_t date_s)
{
    char text[64];
    time_t when = (time_t)date_s;
    struct tm tm = {0};
    gmtime_r(&when, &tm);
    strftime(text, sizeof(text), "Date: %a, %d %b %Y %H:%M:%S +0000\r\n", &tm);
    strbuf_puts(out, text);
}

void smtp_message_own_id(struct smtp_message *message, const char *id)
{
    snprintf(message->id, sizeof(message->id), "<%.100s@%s>", id, strchr(message->sender, '@') + 1);
}

// ---- JSON -----------------------------------------------------------------------------------

static int complain(struct compose *c, const char *field, const char *why)
{
    snprintf(c->error, SMTP_ERROR_MAX, "%s: %s", field, why);
    return -EINVAL;
}

// NULL and "": *ret_len is 0.
static int get_text(struct compose *c, const char *field, const char **ret_text, size_t *ret_len)
{
    json_t *value = json_object_get(c->root, field);
    *ret_text = "";
    *ret_len = 0;
    if (value == NULL || json_is_null(value))
        return 0;
    if (!json_is_string(value))
        return complain(c, field, "is no string");
    *ret_text = json_string_value(value);
    *ret_len = json_string_length(value);
    return 0;
}

// What one field of addresses needs: its line in the header, and the envelope if `counts`.
static int add_address(struct compose *c, const char *field, const json_t *value,
                       struct strbuf *line, bool counts)
{
    char address[SMTP_ADDRESS_MAX];
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);
    if (text == NULL)
        return complain(c, field, "is no string");
    if (!smtp_text_is_line(text, len))
        return complain(c, field, "has a control character (CR, LF, NUL, ...) in it");
    if (line->len > 0)
        strbuf_puts(line, ",\r\n ");
    if (!smtp_address_read(text, len, line, address))
        return complain(c, field, "is no address like a@example.org or Name <a@example.org>");
    return counts ? smtp_message_add(c->message, address, field, c->error) : 0;
}

static int add_recipients(struct compose *c, const char *field, const char *header)
{
    json_t *value = json_object_get(c->root, field);
    struct strbuf line = STRBUF_INIT;
    int rc = 0;
    if (value == NULL || json_is_null(value))
        return 0;
    if (!json_is_array(value))
        rc = add_address(c, field, value, &line, true);
    for (size_t i = 0; i < json_array_size(value) && rc == 0; i++) {
        char name[32];
        snprintf(name, sizeof(name), "%s[%zu]", field, i);
        rc = add_address(c, name, json_array_get(value, i), &line, true);
    }
    if (header != NULL && line.len > 0)
        strbuf_printf(&c->message->text, "%s: %s\r\n", header, strbuf_text(&line));
    rc = rc == 0 && !strbuf_ok(&line) ? -ENOMEM : rc;
    strbuf_fini(&line);
    return rc;
}

static int add_one(struct compose *c, const char *field, const char *header, const json_t *value,
                   char ret_address[SMTP_ADDRESS_MAX])
{
    struct strbuf line = STRBUF_INIT;
    int rc = add_address(c, field, value, &line, false);
    char address[SMTP_ADDRESS_MAX] = "";
    if (rc == 0)
        (void)smtp_address_read(json_string_value(value), json_string_length(value), NULL, address);
    if (ret_address != NULL)
        memcpy(ret_address, address, sizeof(address));
    else if (!smtp_text_is_ascii(address, strlen(address)))
        rc = complain(c, field, "is no ASCII, which only sender and recipients need not be");
    strbuf_printf(&c->message->text, "%s: %s\r\n", header, strbuf_text(&line));
    rc = rc == 0 && !strbuf_ok(&line) ? -ENOMEM : rc;
    strbuf_fini(&line);
    return rc;
}

static int add_people(struct compose *c)
{
    json_t *from = json_incref(json_object_get(c->root, "from"));
    json_t *reply_to = json_object_get(c->root, "reply_to");
    if (from == NULL && c->source->from != NULL)
        from = json_string(c->source->from);
    int rc = from == NULL ? complain(c, "from", "is missing")
                          : add_one(c, "from", "From", from, c->message->sender);
    json_decref(from);
    if (rc == 0 && reply_to != NULL && !json_is_null(reply_to))
        rc = add_one(c, "reply_to", "Reply-To", reply_to, NULL);
    rc = rc < 0 ? rc : add_recipients(c, "to", "To");
    rc = rc < 0 ? rc : add_recipients(c, "cc", "Cc");
    rc = rc < 0 ? rc : add_recipients(c, "bcc", NULL);
    if (rc == 0 && c->message->n_recipients == 0)
        rc = complain(c, "to", "is missing: a message needs a recipient in to, cc or bcc");
    return rc;
}

static int add_subject(struct compose *c)
{
    const char *text;
    size_t len;
    int rc = get_text(c, "subject", &text, &len);
    if (rc == 0 && !smtp_text_is_line(text, len))
        rc = complain(c, "subject", "has a control character (CR, LF, NUL, ...) in it");
    strbuf_puts(&c->message->text, "Subject: ");
    smtp_text_unstructured(&c->message->text, rc == 0 ? text : "", rc == 0 ? len : 0);
    strbuf_puts(&c->message->text, "\r\n");
    return rc;
}

static int add_body(struct compose *c)
{
    static const char *const subtypes[] = {"plain", "html"};
    struct strbuf *out = &c->message->text;
    const char *texts[2];
    size_t lens[2];
    bool has[2];
    for (int i = 0; i < 2; i++) {
        const char *field = i == 0 ? "text" : "html";
        int rc = get_text(c, field, &texts[i], &lens[i]);
        if (rc == 0 && memchr(texts[i], '\0', lens[i]) != NULL)
            rc = complain(c, field, "has a NUL character in it");
        if (rc < 0)
            return rc;
        has[i] = json_is_string(json_object_get(c->root, field));
    }
    if (!has[0] && !has[1])
        return complain(c, "text", "is missing: a message needs text or html");
    strbuf_puts(out, "MIME-Version: 1.0\r\n");
    if (!has[0] || !has[1]) {
        int only = has[0] ? 0 : 1;
        smtp_text_part(out, subtypes[only], texts[only], lens[only], false);
        return 0;
    }
    // "=_" is in no quoted-printable and no base64.
    strbuf_printf(out, "Content-Type: multipart/alternative; boundary=\"=_%.60s\"\r\n\r\n",
                  c->source->id);
    for (int i = 0; i < 2; i++) {
        strbuf_printf(out, "--=_%.60s\r\n", c->source->id);
        smtp_text_part(out, subtypes[i], texts[i], lens[i], true);
    }
    strbuf_printf(out, "--=_%.60s--\r\n", c->source->id);
    return 0;
}

static int refuse_unknown(struct compose *c)
{
    const char *key;
    json_t *value;
    json_object_foreach(c->root, key, value)
    {
        bool known = false;
        for (size_t i = 0; i < N_FIELDS; i++)
            known = known || strcmp(key, fields[i]) == 0;
        if (!known) {
            size_t len = strlen(key);
            bool can_name = smtp_text_is_ascii(key, len) && smtp_text_is_line(key, len);
            snprintf(c->error, SMTP_ERROR_MAX,
                     "%.30s: is no field; allowed are from, to, cc, bcc, reply_to, subject, text, "
                     "html",
                     can_name ? key : "(a name that is no ASCII)");
            return -EINVAL;
        }
    }
    return 0;
}

static int compose_json(struct compose *c)
{
    json_error_t where;
    c->root = json_loadb(c->source->body, c->source->body_len,
                         JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &where);
    if (!json_is_object(c->root)) {
        snprintf(c->error, SMTP_ERROR_MAX, "the body is no JSON object%s%.80s",
                 c->root == NULL ? ": " : "", c->root == NULL ? where.text : "");
        return -EINVAL;
    }
    int rc = refuse_unknown(c);
    rc = rc < 0 ? rc : add_people(c);
    rc = rc < 0 ? rc : add_subject(c);
    if (rc < 0)
        return rc;
    smtp_message_own_id(c->message, c->source->id);
    smtp_message_date(&c->message->text, c->source->date_s);
    strbuf_printf(&c->message->text, "Message-ID: %s\r\n", c->message->id);
    return add_body(c);
}

// ---- either ---------------------------------------------------------------------------------

static bool needs_utf8(const struct smtp_message *message)
{
    bool ascii = smtp_text_is_ascii(message->sender, strlen(message->sender));
    for (size_t i = 0; i < message->n_recipients; i++) {
        const char *recipient = message->recipients[i];
        ascii = ascii && smtp_text_is_ascii(recipient, strlen(recipient));
    }
    return !ascii;
}

void smtp_message_fini(struct smtp_message *message)
{
    free(message->recipients);
    strbuf_fini(&message->text);
    *message = (struct smtp_message){0};
}

int smtp_message_compose(const struct smtp_source *source, struct smtp_message *ret_message,
                         char error[SMTP_ERROR_MAX])
{
    struct smtp_message message = {.text = STRBUF_INIT};
    struct compose compose = {.source = source, .message = &message, .error = error};
    const char *type = smtp_message_type(source->type, strlen(source->type));
    int rc = 0;
    error[0] = '\0';
    message.recipients = calloc(SMTP_RECIPIENTS_MAX, sizeof(*message.recipients));
    if (message.recipients == NULL) {
        rc = -ENOMEM;
    } else if (type == NULL) {
        snprintf(error, SMTP_ERROR_MAX,
                 "the Content-Type is neither application/json nor message/rfc822");
        rc = -EINVAL;
    } else if (type[0] == 'a') {
        rc = compose_json(&compose);
        json_decref(compose.root);
    } else {
        rc = smtp_original_read(source, &message, error);
    }
    if (rc == 0 && !strbuf_ok(&message.text))
        rc = -ENOMEM;
    if (rc == 0 && message.text.len > SMTP_MESSAGE_MAX) {
        snprintf(error, SMTP_ERROR_MAX, "the message is larger than %u bytes", SMTP_MESSAGE_MAX);
        rc = -EMSGSIZE;
    }
    if (rc < 0) {
        smtp_message_fini(&message);
        return rc;
    }
    message.needs_utf8 = needs_utf8(&message);
    *ret_message = message;
    return 0;
}
