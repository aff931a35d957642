// What is posted becomes a mail whose header has no line that it was not meant to have: read back
// as a whole message, it has the same sender, no more recipients, and no Bcc.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "net/smtp_message.h"

// Lines of a header that smtp_message.c writes for JSON; others begin with a blank.
static bool is_ours(const char *line)
{
    static const char *const names[] = {"From: ",         "Reply-To: ",
                                        "To: ",           "Cc: ",
                                        "Subject: ",      "Date: ",
                                        "Message-ID: ",   "MIME-Version: ",
                                        "Content-Type: ", "Content-Transfer-Encoding: "};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strncmp(line, names[i], strlen(names[i])) == 0)
            return true;
    return line[0] == ' ';
}

static void check_lines(const struct smtp_message *message, bool json)
{
    const char *at = message->text.text, *end = at + message->text.len;
    bool in_header = true;
    ASSERT(memchr(at, '\0', message->text.len) == NULL);
    while (at < end) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        ASSERT(lf != NULL && lf > at && lf[-1] == '\r');
        ASSERT(memchr(at, '\r', (size_t)(lf - at)) == lf - 1);
        if (lf - at == 1)
            in_header = false;
        if (in_header) {
            ASSERT(!json || is_ours(at));
            ASSERT(strncasecmp(at, "bcc:", 4) != 0);
        }
        at = lf + 1;
    }
    ASSERT(!in_header);
}

static bool has(const struct smtp_message *message, const char *address)
{
    for (size_t i = 0; i < message->n_recipients; i++)
        if (strcmp(message->recipients[i], address) == 0)
            return true;
    return false;
}

// Bcc is in the envelope only: there are fewer recipients the second time.
static void read_back(const struct smtp_message *message)
{
    char error[SMTP_ERROR_MAX];
    struct smtp_message again;
    const struct smtp_source source = {.type = "message/rfc822",
                                       .body = message->text.text,
                                       .body_len = message->text.len,
                                       .id = "0"};
    if (smtp_message_compose(&source, &again, error) < 0)
        return; // all recipients are Bcc
    ASSERT(strcmp(again.sender, message->sender) == 0);
    for (size_t i = 0; i < again.n_recipients; i++)
        ASSERT(has(message, again.recipients[i]));
    ASSERT(again.text.len == message->text.len);
    smtp_message_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char error[SMTP_ERROR_MAX];
    for (int json = 0; json < 2; json++) {
        struct smtp_message message;
        const struct smtp_source source = {.type = json ? "application/json" : "message/rfc822",
                                           .body = (const char *)data,
                                           .body_len = len,
                                           .from = "own@example.org",
                                           .id = "0123abcd"};
        if (smtp_message_compose(&source, &message, error) < 0) {
            ASSERT(error[0] != '\0');
            continue;
        }
        ASSERT(message.n_recipients > 0 && message.n_recipients <= SMTP_RECIPIENTS_MAX);
        check_lines(&message, json != 0);
        read_back(&message);
        smtp_message_fini(&message);
    }
    return 0;
}
