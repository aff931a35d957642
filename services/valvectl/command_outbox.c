// valvectl outbox: what the breaker process keeps for upstreams that are away.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ask.h"
#include "base/strbuf.h"
#include "net/bus.h"

#define ID_CHARS 32

struct report {
    const struct valvectl *ctl;
    const char *verb;
    int result;
};

static const char *time_text(uint64_t ms, char text[32])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    if (ms == 0)
        return "-";
    strftime(text, 32, "%Y-%m-%d %H:%M:%S", localtime_r(&seconds, &tm));
    return text;
}

static void print_row(const Valvechain__V1__OutboxOperation *operation)
{
    char accepted[32], due[32];
    printf("%-32s %-10s %-14s %-19s %-19s %8u %9" PRIu64 "  %s\n", operation->id, operation->state,
           operation->upstream, time_text(operation->accepted_ms, accepted),
           time_text(operation->due_ms, due), operation->attempts, operation->body_bytes,
           operation->last_error);
}

static void print_whole(const Valvechain__V1__OutboxOperation *operation)
{
    char time[32];
    printf("id          %s\nstate       %s\nupstream    %s\nroute       %s\nlane        %s\n",
           operation->id, operation->state, operation->upstream, operation->route,
           operation->lane[0] ? operation->lane : "-");
    printf("attempts    %u\nlast error  %s\n", operation->attempts,
           operation->last_error[0] ? operation->last_error : "-");
    printf("accepted    %s\n", time_text(operation->accepted_ms, time));
    printf("next try    %s\n", time_text(operation->due_ms, time));
    printf("expires     %s\n", time_text(operation->expires_ms, time));
    printf("finished    %s\n", time_text(operation->finished_ms, time));
    printf("body        %" PRIu64 " bytes\n", operation->body_bytes);
    if (operation->request_line[0])
        printf("\n%s\n", operation->request_line);
    for (size_t i = 0; i < operation->n_headers; i++)
        printf("%s\n", operation->headers[i]);
    if (operation->answer_status != 0)
        printf("\nanswered %u %s, %zu bytes kept\n", operation->answer_status,
               operation->answer_type, operation->answer.len);
}

static void print_operations(const struct report *report,
                             const Valvechain__V1__OutboxCommandResult *reply)
{
    bool list = strcmp(report->verb, "list") == 0;
    if (list)
        printf("%-32s %-10s %-14s %-19s %-19s %8s %9s  %s\n", "ID", "STATE", "UPSTREAM", "ACCEPTED",
               "NEXT TRY", "ATTEMPTS", "BYTES", "LAST ERROR");
    for (size_t i = 0; i < reply->n_operations; i++) {
        if (list)
            print_row(reply->operations[i]);
        else
            print_whole(reply->operations[i]);
    }
}

static void on_reply(void *arg, const ProtobufCMessage *message)
{
    struct report *report = arg;
    const Valvechain__V1__OutboxCommandResult *reply =
        (const Valvechain__V1__OutboxCommandResult *)message;
    struct strbuf text = STRBUF_INIT;
    report->result = reply->status == 200   ? VALVECTL_OK
                     : reply->status == 503 ? VALVECTL_UNREACHABLE
                                            : VALVECTL_FINDING;
    if (report->ctl->json) {
        bus_message_json(message, &text);
        puts(strbuf_text(&text));
        strbuf_fini(&text);
        return;
    }
    if (report->result != VALVECTL_OK) {
        fprintf(stderr, "valvectl: outbox %s: %s\n", report->verb, reply->detail);
        return;
    }
    if (strcmp(report->verb, "list") == 0 || strcmp(report->verb, "show") == 0)
        print_operations(report, reply);
    else
        printf("%s: %" PRIu64 "\n", report->verb, reply->affected);
}

static int run(struct valvectl *ctl, char *verb, Valvechain__V1__OutboxCommand *command)
{
    struct report report = {.ctl = ctl, .verb = verb, .result = VALVECTL_FINDING};
    command->verb = verb;
    int result = ask(ctl, "breaker", "outbox.command", &command->base, on_reply, &report);
    return result == VALVECTL_OK ? report.result : result;
}

static int wrong_use(const char *verb, const char *arguments)
{
    fprintf(stderr, "valvectl: usage: valvectl outbox %s %s\n", verb, arguments);
    return VALVECTL_FINDING;
}

static bool is_id(const char *text)
{
    return strlen(text) == ID_CHARS && strspn(text, "0123456789abcdef") == ID_CHARS;
}

// An id, or a state and perhaps an upstream.
static int run_on(struct valvectl *ctl, char *verb)
{
    Valvechain__V1__OutboxCommand command = VALVECHAIN__V1__OUTBOX_COMMAND__INIT;
    if (ctl->argc < 1)
        return wrong_use(verb, "ID | dead [UPSTREAM] | parked [UPSTREAM]");
    if (is_id(ctl->argv[0])) {
        command.id = ctl->argv[0];
    } else if (strcmp(ctl->argv[0], "dead") == 0 || strcmp(ctl->argv[0], "parked") == 0) {
        command.state = ctl->argv[0];
    } else {
        fprintf(stderr,
                "valvectl: '%s' is no id of an operation (%d of 0-9 and a-f) and no state to %s; "
                "allowed are an id, dead and parked\n",
                ctl->argv[0], ID_CHARS, verb);
        return VALVECTL_FINDING;
    }
    if (ctl->argc > 1)
        command.upstream = ctl->argv[1];
    return run(ctl, verb, &command);
}

static int run_upstream(struct valvectl *ctl, char *verb)
{
    Valvechain__V1__OutboxCommand command = VALVECHAIN__V1__OUTBOX_COMMAND__INIT;
    if (ctl->argc != 1)
        return wrong_use(verb, "UPSTREAM");
    command.upstream = ctl->argv[0];
    return run(ctl, verb, &command);
}

int command_outbox_list(struct valvectl *ctl)
{
    Valvechain__V1__OutboxCommand command = VALVECHAIN__V1__OUTBOX_COMMAND__INIT;
    char verb[] = "list";
    if (ctl->argc > 0)
        command.state = ctl->argv[0];
    if (ctl->argc > 1)
        command.upstream = ctl->argv[1];
    command.limit = 500;
    return run(ctl, verb, &command);
}

int command_outbox_show(struct valvectl *ctl)
{
    Valvechain__V1__OutboxCommand command = VALVECHAIN__V1__OUTBOX_COMMAND__INIT;
    char verb[] = "show";
    if (ctl->argc != 1)
        return wrong_use(verb, "ID");
    command.id = ctl->argv[0];
    return run(ctl, verb, &command);
}

int command_outbox_retry(struct valvectl *ctl)
{
    char verb[] = "retry";
    return run_on(ctl, verb);
}

int command_outbox_discard(struct valvectl *ctl)
{
    char verb[] = "discard";
    return run_on(ctl, verb);
}

int command_outbox_pause(struct valvectl *ctl)
{
    char verb[] = "pause";
    return run_upstream(ctl, verb);
}

int command_outbox_resume(struct valvectl *ctl)
{
    char verb[] = "resume";
    return run_upstream(ctl, verb);
}
