#include "net/smtp_send.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "net/curl_upstream.h"

const char *const smtp_stage_names[] = {"connecting", "EHLO", "STARTTLS", "AUTH",
                                        "MAIL",       "RCPT", "DATA",     "the end of the message"};

struct submission {
    struct smtp_sender *sender;
    struct smtp_message message;
    size_t read; // of its text
    CURL *easy;
    struct curl_slist *connect_to, *recipients;
    char password[SMTP_PASSWORD_MAX];
    char error[CURL_ERROR_SIZE];
    struct smtp_result result;
    bool leaving;     // QUIT went out: the reply to it is none to the mail
    bool by_starttls; // TLS begins by STARTTLS where the server offers it
    struct {
        bool starttls, utf8;
        unsigned long long size; // bytes, 0: no bound
    } offers;                    // of the last EHLO
    uv_thread_t thread;
    atomic_bool aborted;
    smtp_sent_fn *on_sent;
    void *arg;
    struct submission *next; // of those under way; the loop's
    struct submission *next_done;
};

struct smtp_sender {
    uv_async_t async;
    uv_mutex_t mutex;
    struct submission *done; // under the mutex
    struct submission *under_way;
};

bool smtp_result_is_refusal(const struct smtp_result *result)
{
    bool by_reply = result->code >= 500 && result->stage >= SMTP_MAIL;
    return !result->accepted && (by_reply || result->lack != SMTP_LACKS_NOTHING);
}

// ---- in the thread --------------------------------------------------------------------------

// What we say tells where we are. Only the verb is looked at: AUTH's line holds the password.
static int on_debug(CURL *easy, curl_infotype type, char *bytes, size_t len, void *arg)
{
    static const struct {
        const char *verb;
        enum smtp_stage stage;
    } verbs[] = {{"EHLO", SMTP_EHLO}, {"HELO", SMTP_EHLO}, {"STARTTLS", SMTP_STARTTLS},
                 {"AUTH", SMTP_AUTH}, {"MAIL", SMTP_MAIL}, {"RCPT", SMTP_RCPT},
                 {"DATA", SMTP_DATA}};
    struct submission *s = arg;
    (void)easy;
    if (type != CURLINFO_HEADER_OUT)
        return 0;
    s->leaving = s->leaving || (len >= 4 && strncasecmp(bytes, "QUIT", 4) == 0);
    if (len >= 4 && (strncasecmp(bytes, "EHLO", 4) == 0 || strncasecmp(bytes, "HELO", 4) == 0))
        memset(&s->offers, 0, sizeof(s->offers)); // what was said before TLS counts no more
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        size_t n = strlen(verbs[i].verb);
        // EHLO comes once more after STARTTLS.
        if (len >= n && strncasecmp(bytes, verbs[i].verb, n) == 0 &&
            (len == n || strchr(" \r\n", bytes[n]) != NULL) && // not base64 of AUTH LOGIN
            verbs[i].stage > s->result.stage) {
            s->result.stage = verbs[i].stage;
            s->result.code = 0; // the reply to come is another's
        }
    }
    return 0;
}

// "250-SIZE 1000"
static void note_offer(struct submission *s, const char *line, size_t len)
{
    char word[64];
    if (len < 5 || strncmp(line, "250", 3) != 0)
        return;
    snprintf(word, sizeof(word), "%.*s", (int)(len - 4), line + 4);
    word[strcspn(word, "\r\n")] = '\0';
    s->offers.starttls = s->offers.starttls || strcasecmp(word, "STARTTLS") == 0;
    s->offers.utf8 = s->offers.utf8 || strcasecmp(word, "SMTPUTF8") == 0;
    if (strncasecmp(word, "SIZE ", 5) == 0 && word[5] >= '0' && word[5] <= '9')
        s->offers.size = strtoull(word + 5, NULL, 10); // RFC 1870: 0 is no bound, too
}

// The server has said all that it can do, and no STARTTLS follows: will it take this mail?
static enum smtp_lack find_lack(struct submission *s)
{
    struct smtp_result *result = &s->result;
    size_t bytes = s->message.text.len;
    if (s->offers.size > 0 && bytes > s->offers.size) {
        snprintf(result->reply, sizeof(result->reply),
                 "the server takes messages of at most %llu bytes (SIZE), this one has %zu",
                 s->offers.size, bytes);
        return SMTP_LACKS_SIZE;
    }
    if (s->message.needs_utf8 && !s->offers.utf8) {
        snprintf(
            result->reply, sizeof(result->reply),
            "an address is no ASCII and the server has no SMTPUTF8; a domain can be written as "
            "xn--");
        return SMTP_LACKS_UTF8;
    }
    return SMTP_LACKS_NOTHING;
}

// A reply's last line: "250 OK". Those before it have a '-'. Less than `len` ends the call.
static size_t on_reply(char *line, size_t size, size_t n, void *arg)
{
    struct submission *s = arg;
    struct smtp_result *result = &s->result;
    size_t len = size * n;
    bool greets = result->stage == SMTP_EHLO || result->stage == SMTP_STARTTLS;
    if (greets && !s->leaving)
        note_offer(s, line, len);
    if (s->leaving || len < 3 || (len > 3 && line[3] == '-') || line[0] < '2' || line[0] > '5')
        return len;
    result->code = (unsigned)(line[0] - '0') * 100;
    result->code += (unsigned)(line[1] - '0') % 10 * 10 + (unsigned)(line[2] - '0') % 10;
    size_t kept = 0;
    for (size_t i = 0; i < len && kept + 1 < sizeof(result->reply); i++)
        if (line[i] != '\r' && line[i] != '\n')
            result->reply[kept++] = line[i] >= ' ' && line[i] <= '~' ? line[i] : '?';
    result->reply[kept] = '\0';
    result->accepted = result->stage == SMTP_ENDED && result->code / 100 == 2;
    bool goes_on = result->stage == SMTP_STARTTLS || !(s->by_starttls && s->offers.starttls);
    if (greets && result->code == 250 && goes_on)
        result->lack = find_lack(s);
    return result->lack == SMTP_LACKS_NOTHING ? len : 0;
}

static size_t on_read(char *to, size_t size, size_t n, void *arg)
{
    struct submission *s = arg;
    size_t left = s->message.text.len - s->read;
    size_t len = size * n < left ? size * n : left;
    if (len == 0) { // libcurl sends the end now
        s->result.stage = SMTP_ENDED;
        s->result.code = 0;
        return 0;
    }
    memcpy(to, s->message.text.text + s->read, len);
    s->read += len;
    return len;
}

// Also ends the wait for the reply to QUIT, for which libcurl takes two minutes beyond its timeout.
static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct submission *s = arg;
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return s->leaving || atomic_load(&s->aborted) ? 1 : 0;
}

static void submit(void *arg)
{
    struct submission *s = arg;
    struct smtp_sender *sender = s->sender;
    CURLcode code = curl_easy_perform(s->easy);
    struct smtp_result *result = &s->result;
    // A reply that let us go on is not what ended it.
    bool decides = result->accepted || result->code >= 400 || result->lack != SMTP_LACKS_NOTHING;
    if (!decides) {
        result->code = 0;
        snprintf(result->reply, sizeof(result->reply), "%.150s",
                 s->error[0] != '\0' ? s->error : curl_easy_strerror(code));
    }
    result->code = result->lack != SMTP_LACKS_NOTHING ? 0 : result->code;
    result->tls_failed =
        !decides && (code == CURLE_USE_SSL_FAILED || curl_upstream_is_tls_failure(code, s->error));
    result->timed_out = !decides && code == CURLE_OPERATION_TIMEDOUT;
    result->aborted = !decides && atomic_load(&s->aborted);
    uv_mutex_lock(&sender->mutex);
    s->next_done = sender->done;
    sender->done = s;
    uv_mutex_unlock(&sender->mutex);
    uv_async_send(&sender->async);
}

// ---- in the loop ----------------------------------------------------------------------------

static void submission_free(struct submission *s)
{
    curl_easy_cleanup(s->easy);
    curl_slist_free_all(s->connect_to);
    curl_slist_free_all(s->recipients);
    smtp_message_fini(&s->message);
    explicit_bzero(s->password, sizeof(s->password));
    free(s);
}

static void end(struct submission *s)
{
    struct submission **link = &s->sender->under_way;
    while (*link != s)
        link = &(*link)->next;
    *link = s->next;
    uv_thread_join(&s->thread);
    s->on_sent(s->arg, &s->result);
    submission_free(s);
}

static void on_async(uv_async_t *async)
{
    struct smtp_sender *sender = async->data;
    uv_mutex_lock(&sender->mutex);
    struct submission *done = sender->done;
    sender->done = NULL;
    uv_mutex_unlock(&sender->mutex);
    while (done != NULL) {
        struct submission *next = done->next_done;
        end(done);
        done = next;
    }
}

int smtp_sender_create(uv_loop_t *loop, struct smtp_sender **ret_sender)
{
    struct smtp_sender *sender = calloc(1, sizeof(*sender));
    if (sender == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(sender);
        return -ENOMEM;
    }
    int rc = uv_mutex_init(&sender->mutex);
    if (rc == 0 && (rc = uv_async_init(loop, &sender->async, on_async)) < 0)
        uv_mutex_destroy(&sender->mutex);
    if (rc < 0) {
        curl_global_cleanup();
        free(sender);
        return rc;
    }
    sender->async.data = sender;
    *ret_sender = sender;
    return 0;
}

static void free_sender(uv_handle_t *handle)
{
    free(handle->data);
}

void smtp_sender_destroy(struct smtp_sender **sender_p)
{
    struct smtp_sender *sender = *sender_p;
    *sender_p = NULL;
    if (sender == NULL)
        return;
    struct submission *s = sender->under_way, *next;
    for (struct submission *each = s; each != NULL; each = each->next)
        atomic_store(&each->aborted, true);
    for (; s != NULL; s = next) {
        next = s->next;
        end(s);
    }
    uv_mutex_destroy(&sender->mutex);
    curl_global_cleanup();
    uv_close((uv_handle_t *)&sender->async, free_sender);
}

static void set_encryption(struct submission *s, const struct config_smtp *smtp, bool smtps)
{
    bool required = smtp->starttls == STARTTLS_REQUIRED ||
                    (smtp->starttls == STARTTLS_AUTO && smtp->username != NULL);
    s->by_starttls = !smtps && smtp->starttls != STARTTLS_NEVER;
    curl_easy_setopt(s->easy, CURLOPT_USE_SSL,
                     (long)(required                           ? CURLUSESSL_ALL
                            : smtp->starttls == STARTTLS_NEVER ? CURLUSESSL_NONE
                                                               : CURLUSESSL_TRY));
}

static int set_envelope(struct submission *s)
{
    char text[SMTP_ADDRESS_MAX + 2];
    snprintf(text, sizeof(text), "<%s>", s->message.sender);
    curl_easy_setopt(s->easy, CURLOPT_MAIL_FROM, text);
    for (size_t i = 0; i < s->message.n_recipients; i++) {
        snprintf(text, sizeof(text), "<%s>", s->message.recipients[i]);
        struct curl_slist *longer = curl_slist_append(s->recipients, text);
        if (longer == NULL)
            return -ENOMEM;
        s->recipients = longer;
    }
    curl_easy_setopt(s->easy, CURLOPT_MAIL_RCPT, s->recipients);
    return 0;
}

static int set_up(struct submission *s, const struct config_upstream *upstream, unsigned lot,
                  uint64_t timeout_ms)
{
    const struct config_smtp *smtp = &upstream->smtp;
    uint64_t connect_ms = upstream->connect_timeout_ms;
    CURL *easy = s->easy;
    if (easy == NULL)
        return -ENOMEM;
    if (upstream->n_endpoints == 0)
        return -EADDRNOTAVAIL;
    int rc = curl_upstream_set(easy, upstream, &upstream->endpoints[lot % upstream->n_endpoints],
                               NULL, &s->connect_to);
    rc = rc < 0 ? rc : set_envelope(s);
    if (rc == 0 && smtp->username != NULL)
        rc = smtp_password_read(smtp->password_file, s->password);
    if (rc < 0)
        return rc;
    set_encryption(s, smtp, upstream->endpoints[0].tls);
    if (smtp->username != NULL) {
        curl_easy_setopt(easy, CURLOPT_USERNAME, smtp->username);
        curl_easy_setopt(easy, CURLOPT_PASSWORD, s->password);
    }
    // Closed within the call: a kept one is closed with the handle, by QUIT and a wait of two
    // minutes for the reply that no option bounds.
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(easy, CURLOPT_READDATA, s);
    // Not CURLOPT_INFILESIZE_LARGE, which would also say SIZE: libcurl ends where so many bytes
    // went out, and counts the dots that it doubles.
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_reply);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, s);
    curl_easy_setopt(easy, CURLOPT_VERBOSE, 1L); // for on_debug; nothing is written anywhere
    curl_easy_setopt(easy, CURLOPT_DEBUGFUNCTION, on_debug);
    curl_easy_setopt(easy, CURLOPT_DEBUGDATA, s);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, s);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, s->error);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                     (long)(connect_ms < timeout_ms ? connect_ms : timeout_ms));
    return 0;
}

int smtp_send(struct smtp_sender *sender, struct smtp_message *message,
              const struct config_upstream *upstream, unsigned lot, uint64_t timeout_ms,
              smtp_sent_fn *on_sent, void *arg)
{
    struct submission *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        smtp_message_fini(message);
        return -ENOMEM;
    }
    *s = (struct submission){.sender = sender,
                             .message = *message,
                             .easy = curl_easy_init(),
                             .on_sent = on_sent,
                             .arg = arg,
                             .next = sender->under_way};
    *message = (struct smtp_message){0};
    int rc = set_up(s, upstream, lot, timeout_ms);
    if (rc == 0) {
        sender->under_way = s;
        rc = uv_thread_create(&s->thread, submit, s);
        if (rc < 0)
            sender->under_way = s->next;
    }
    if (rc < 0)
        submission_free(s);
    return rc;
}

// ---- passwords ------------------------------------------------------------------------------

int smtp_password_read(const char *path, char ret_password[SMTP_PASSWORD_MAX])
{
    char line[SMTP_PASSWORD_MAX];
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return -errno;
    errno = 0;
    size_t len = fread(line, 1, sizeof(line) - 1, file);
    int rc = ferror(file) ? (errno != 0 ? -errno : -EIO) : 0;
    fclose(file);
    line[len] = '\0';
    size_t end = strcspn(line, "\r\n");
    if (rc == 0 && (end == 0 || end == sizeof(line) - 1))
        rc = -EINVAL;
    line[end] = '\0';
    if (rc == 0)
        memcpy(ret_password, line, end + 1);
    explicit_bzero(line, sizeof(line));
    return rc;
}

int smtp_passwords_check(const struct config_model *model, struct problems *problems)
{
    int result = 0;
    for (size_t i = 0; i < model->n_upstreams; i++) {
        const struct config_upstream *upstream = &model->upstreams[i];
        char password[SMTP_PASSWORD_MAX];
        if (upstream->smtp.password_file == NULL)
            continue;
        int rc = smtp_password_read(upstream->smtp.password_file, password);
        explicit_bzero(password, sizeof(password));
        if (rc < 0) {
            problems_add(problems,
                         "upstream '%s': smtp.password_file: '%s': %s; a readable file with the "
                         "password in its first line is needed",
                         upstream->name, upstream->smtp.password_file,
                         rc == -EINVAL ? "its first line is empty or too long" : strerror(-rc));
            result = -EINVAL;
        }
    }
    return result;
}
