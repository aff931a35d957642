// What is posted to a mail server's route, as mail.
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "net/smtp_message.h"
#include "net/smtp_text.h"

static struct smtp_message message;
static char error[SMTP_ERROR_MAX];

static int compose(const char *type, const char *body, size_t len)
{
    const struct smtp_source source = {.type = type,
                                       .body = body,
                                       .body_len = len,
                                       .id = "0a1b",
                                       .date_s = 1795532400}; // 2026-11-24 15:00 UTC
    return smtp_message_compose(&source, &message, error);
}

static void expect_error(const char *json, const char *expected)
{
    int rc = compose("application/json", json, strlen(json));
    cr_assert_eq(rc, -EINVAL, "%s: %d", json, rc);
    cr_assert_eq(strncmp(error, expected, strlen(expected)), 0, "%s: %s", json, error);
}

Test(smtp_message, json_is_a_whole_message)
{
    const char json[] = "{\"from\":\"A <a@example.org>\",\"to\":\"b@example.org\","
                        "\"bcc\":[\"c@example.org\"],\"subject\":\"s\",\"text\":\"x=\\n.\\nend\"}";
    cr_assert_eq(compose("application/json; charset=utf-8", json, sizeof(json) - 1), 0, "%s",
                 error);
    cr_assert_str_eq(message.text.text, "From: A <a@example.org>\r\n"
                                        "To: b@example.org\r\n"
                                        "Subject: s\r\n"
                                        "Date: Tue, 24 Nov 2026 15:00:00 +0000\r\n"
                                        "Message-ID: <0a1b@example.org>\r\n"
                                        "MIME-Version: 1.0\r\n"
                                        "Content-Type: text/plain; charset=utf-8\r\n"
                                        "Content-Transfer-Encoding: quoted-printable\r\n"
                                        "\r\n"
                                        "x=3D\r\n.\r\nend=\r\n");
    cr_assert_str_eq(message.sender, "a@example.org");
    cr_assert_eq(message.n_recipients, 2);
    cr_assert_str_eq(message.recipients[1], "c@example.org");
    cr_assert_str_eq(message.id, "<0a1b@example.org>");
    smtp_message_fini(&message);
}

Test(smtp_message, errors_name_the_field)
{
    expect_error("[]", "the body is no JSON object");
    expect_error("{\"to\":\"a@b.c\",\"text\":\"\"}", "from: is missing");
    expect_error("{\"from\":\"a@b.c\",\"text\":\"\"}", "to: is missing");
    expect_error("{\"from\":\"a@b.c\",\"to\":\"a@b.c\"}", "text: is missing");
    expect_error("{\"from\":\"a@b.c\",\"to\":[\"a@b.c\",\"no\"],\"text\":\"\"}",
                 "to[1]: is no addr");
    expect_error("{\"from\":\"a@b.c\\n\",\"to\":\"a@b.c\",\"text\":\"\"}", "from: has a control");
    expect_error("{\"from\":\"a@b.c\",\"to\":\"a@b.c\",\"subject\":\"\\r\",\"text\":\"\"}",
                 "subject: has a control");
    expect_error("{\"from\":\"a@b.c\",\"to\":\"a@b.c\",\"text\":\"\\u0000\"}", "text: has a NUL");
    expect_error("{\"x\":1}", "x: is no field");
    cr_assert_eq(compose("text/plain", "", 0), -EINVAL);
}

Test(smtp_message, there_is_a_bound_of_recipients)
{
    struct strbuf json = STRBUF_INIT;
    strbuf_puts(&json, "{\"from\":\"a@b.c\",\"text\":\"\",\"to\":[\"a@b.c\"");
    for (int i = 1; i < SMTP_RECIPIENTS_MAX; i++)
        strbuf_puts(&json, ",\"a@b.c\"");
    strbuf_puts(&json, "]}");
    cr_assert_eq(compose("application/json", json.text, json.len), 0, "%s", error);
    smtp_message_fini(&message);
    json.text[json.len - 1] = ',';
    strbuf_puts(&json, "\"cc\":\"a@b.c\"}");
    cr_assert_eq(compose("application/json", json.text, json.len), -EINVAL);
    cr_assert_str_eq(error, "cc: there are more than 100 recipients");
    strbuf_fini(&json);
}

Test(smtp_message, an_original_keeps_its_bytes)
{
    const char raw[] = "From: a@b.c\nBCC: d@e.f,\n\tg@h.i\nX: 1\n\nbody\n.\n";
    cr_assert_eq(compose("message/rfc822", raw, sizeof(raw) - 1), 0, "%s", error);
    cr_assert_str_eq(message.text.text, "From: a@b.c\r\nX: 1\r\n"
                                        "Date: Tue, 24 Nov 2026 15:00:00 +0000\r\n"
                                        "Message-ID: <0a1b@b.c>\r\n"
                                        "\r\nbody\r\n.\r\n");
    cr_assert_eq(message.n_recipients, 2);
    smtp_message_fini(&message);
    const char smuggled[] = "From: a@b.c\nTo: d@e.f\n\n.\rMAIL FROM:<x@y.z>\n";
    cr_assert_eq(compose("message/rfc822", smuggled, sizeof(smuggled) - 1), -EINVAL);
    const char twice[] = "From: a@b.c\nFrom: x@b.c\nTo: d@e.f\n\n";
    cr_assert_eq(compose("message/rfc822", twice, sizeof(twice) - 1), -EINVAL);
    cr_assert_str_eq(error, "From: is there twice");
}

Test(smtp_message, addresses)
{
    static const char *const good[] = {"a@b", "a.b+c@d-e.f", "x@[127.0.0.1]", "o'neil@example.org",
                                       "zo\xc3\xab@ex\xc3\xa4mple.org"};
    static const char *const bad[] = {"",
                                      "a",
                                      "@b",
                                      "a@",
                                      "a@b@c",
                                      "a b@c",
                                      ".a@b",
                                      "a.@b",
                                      "a..b@c",
                                      "a@-b",
                                      "a@b..c",
                                      "<a@b>",
                                      "a@b>",
                                      "a@b,c",
                                      "\xc3@b",
                                      "\xc2\x85@b",
                                      "a@\xe2\x80\xa8"
                                      "b",
                                      "\xc0\xaf@b"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        cr_assert(smtp_address_is_valid(good[i], strlen(good[i])), "%s", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert(!smtp_address_is_valid(bad[i], strlen(bad[i])), "%s", bad[i]);
}

Test(smtp_message, words_hold_whole_characters)
{
    struct strbuf out = STRBUF_INIT;
    char text[2 * 30 + 1];
    for (size_t i = 0; i < 30; i++)
        memcpy(text + 2 * i, "\xc3\xbc", 3);
    smtp_text_words(&out, text, 60);
    // 38 bytes are 19 characters; a 39th would be half of one.
    const char *second = strstr(out.text, "\r\n =?UTF-8?B?");
    cr_assert_not_null(second);
    cr_assert_eq((size_t)(second - out.text), 52 + 12);
    strbuf_fini(&out);
}
