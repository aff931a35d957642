// The outbox on the bus. Replies to hand-overs, questions and commands come after the commit.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "outbox_internal.h"

#define RETRY_AFTER_MS 5000 // full, or the disk does not take it: nothing changes soon
#define LIST_DEFAULT   50
#define LIST_MAX       500

struct request { // one that waits for its commit
    struct outbox_job job;
    struct outbox *outbox;
    struct bus_call *call;
    ProtobufCMessage *message; // what was asked, ours
    struct outbox_body *upload;
    Valvechain__V1__OutboxReceipt receipt;
    Valvechain__V1__OutboxOperation operation;
    Valvechain__V1__OutboxCommandResult result;
};

static const Valvechain__V1__OutboxSubmit *submit_of(const struct request *request)
{
    return (const Valvechain__V1__OutboxSubmit *)request->message;
}
static const Valvechain__V1__OutboxQuestion *question_of(const struct request *request)
{
    return (const Valvechain__V1__OutboxQuestion *)request->message;
}
static const Valvechain__V1__OutboxCommand *command_of(const struct request *request)
{
    return (const Valvechain__V1__OutboxCommand *)request->message;
}

static void free_member(void *message, void *member)
{
    if (member != message)
        free(member);
}

// The members are malloc'd, the message itself lies in the request.
static void free_members(ProtobufCMessage *message)
{
    ProtobufCAllocator allocator = {.free = free_member, .allocator_data = message};
    protobuf_c_message_free_unpacked(message, &allocator);
}

static void request_free(struct request *request)
{
    free_members(&request->receipt.base);
    free_members(&request->operation.base);
    free_members(&request->result.base);
    protobuf_c_message_free_unpacked(request->message, NULL);
    free(request);
}

static ProtobufCMessage *begin(struct outbox *outbox, const void *message,
                               int (*run)(struct outbox_job *, struct outbox_store *, uint64_t),
                               void (*done)(struct outbox_job *, int), struct outbox_body *upload)
{
    struct request *request = calloc(1, sizeof(*request));
    if (request == NULL)
        return NULL;
    request->outbox = outbox;
    request->upload = upload;
    request->job.run = run;
    request->job.done = done;
    valvechain__v1__outbox_receipt__init(&request->receipt);
    valvechain__v1__outbox_operation__init(&request->operation);
    valvechain__v1__outbox_command_result__init(&request->result);
    request->call = bus_call_keep(outbox->service->bus);
    if (request->call == NULL) {
        free(request);
        return NULL;
    }
    bus_message_take(outbox->service->bus);
    memcpy(&request->message, &message, sizeof(message)); // taken over, so no longer const
    outbox_journal_add(&outbox->journal, &request->job);
    return NULL;
}

static const char *code_of(int error)
{
    switch (error) {
    case -ENOSPC:
    case -EDQUOT:
        return "outbox_disk_full";
    case -EROFS:
    case -EACCES:
        return "outbox_read_only";
    case -ECANCELED:
        return "outbox_stopping";
    default:
        return "outbox_unavailable";
    }
}

// ---- hand-over ------------------------------------------------------------------------------

static int run_submit(struct outbox_job *job, struct outbox_store *store, uint64_t now_ms)
{
    struct request *request = (struct request *)job;
    int rc =
        request->upload != NULL ? outbox_body_sync(&request->outbox->uploads, request->upload) : 0;
    return rc < 0 ? rc
                  : outbox_store_accept(store, submit_of(request), request->upload, now_ms,
                                        &request->receipt);
}

static void count_receipt(struct outbox *outbox, const struct request *request, int error)
{
    const Valvechain__V1__OutboxReceipt *receipt = &request->receipt;
    struct outbox_upstream *upstream = outbox_upstream(outbox, submit_of(request)->upstream);
    if (error < 0)
        outbox_count_refusal(outbox, OUTBOX_REFUSED_STORAGE);
    else if (receipt->status == 503)
        outbox_count_refusal(outbox, OUTBOX_REFUSED_FULL);
    else if (receipt->status == 409)
        outbox_count_refusal(outbox, OUTBOX_REFUSED_CONFLICT);
    else if (receipt->status == 422)
        outbox_count_refusal(outbox, OUTBOX_REFUSED_REUSED);
    else if (upstream != NULL)
        metric_add(outbox->service->metrics,
                   receipt->is_new ? upstream->accepted : upstream->repeats, 1);
}

static void end_upload(struct outbox *outbox, struct request *request, bool kept)
{
    if (request->upload == NULL)
        return;
    if (kept)
        outbox_uploads_keep(&outbox->uploads, request->upload);
    else
        outbox_uploads_abandon(&outbox->uploads, submit_of(request)->upload);
}

static void submitted(struct outbox_job *job, int error)
{
    struct request *request = (struct request *)job;
    struct outbox *outbox = request->outbox;
    Valvechain__V1__OutboxReceipt *receipt = &request->receipt;
    Valvechain__V1__OutboxReceipt failed = VALVECHAIN__V1__OUTBOX_RECEIPT__INIT;
    char code[32];
    count_receipt(outbox, request, error);
    // The same key again: its first body is the one that is kept.
    end_upload(outbox, request, error == 0 && request->receipt.is_new);
    if (error < 0) {
        snprintf(code, sizeof(code), "%s", code_of(error));
        failed.status = 503;
        failed.code = code;
        receipt = &failed;
    }
    if (receipt->status == 503)
        receipt->retry_after_ms = RETRY_AFTER_MS;
    bus_call_answer(&request->call, &receipt->base);
    request_free(request);
    outbox_replay(outbox);
}

static ProtobufCMessage *answer_receipt(unsigned status, const char *code)
{
    Valvechain__V1__OutboxReceipt *receipt = malloc(sizeof(*receipt));
    if (receipt == NULL)
        return NULL;
    valvechain__v1__outbox_receipt__init(receipt);
    receipt->status = status;
    receipt->code = strdup(code);
    receipt->retry_after_ms = status == 503 ? RETRY_AFTER_MS : 0;
    return &receipt->base;
}

static ProtobufCMessage *refuse_submit(struct outbox *outbox, unsigned status, const char *code,
                                       enum outbox_refusal reason)
{
    outbox_count_refusal(outbox, reason);
    return answer_receipt(status, code);
}

static ProtobufCMessage *serve_submit(struct outbox *outbox,
                                      const Valvechain__V1__OutboxSubmit *submit)
{
    struct outbox_body *upload = NULL;
    bool bad_hash = (submit->key.len != 0 && submit->key.len != OUTBOX_HASH_BYTES) ||
                    (submit->scope.len != 0 && submit->scope.len != OUTBOX_HASH_BYTES);
    if (outbox->stopping)
        return refuse_submit(outbox, 503, "outbox_stopping", OUTBOX_REFUSED_STORAGE);
    if (submit->head.len == 0 || bad_hash || outbox_config(outbox, submit->upstream) == NULL ||
        outbox_upstream(outbox, submit->upstream) == NULL)
        return refuse_submit(outbox, 503, "outbox_unknown_upstream", OUTBOX_REFUSED_BAD);
    if (outbox_prepare(outbox, true) < 0)
        return refuse_submit(outbox, 503, "outbox_nowhere", OUTBOX_REFUSED_STORAGE);
    if (submit->upload[0] != '\0') {
        upload = outbox_uploads_take(&outbox->uploads, submit->upload);
        if (upload == NULL)
            return refuse_submit(outbox, 503, "outbox_body_missing", OUTBOX_REFUSED_BAD);
    }
    return begin(outbox, submit, run_submit, submitted, upload);
}

static ProtobufCMessage *serve_upload(struct outbox *outbox,
                                      const Valvechain__V1__OutboxUpload *piece)
{
    int rc = 0;
    if (piece->abandon)
        outbox_uploads_abandon(&outbox->uploads, piece->upload);
    else if ((rc = outbox->stopping ? -ECANCELED : outbox_prepare(outbox, true)) == 0)
        rc = outbox_uploads_add(&outbox->uploads, piece->upload, piece->offset, piece->bytes.data,
                                piece->bytes.len, outbox_now_ms());
    if (rc < 0)
        outbox_count_refusal(outbox,
                             rc == -EFBIG ? OUTBOX_REFUSED_TOO_LARGE : OUTBOX_REFUSED_STORAGE);
    return answer_receipt(rc == 0        ? 200
                          : rc == -EFBIG ? 413
                                         : 503,
                          rc == 0        ? ""
                          : rc == -EFBIG ? "outbox_body_too_large"
                                         : code_of(rc));
}

// ---- questions and commands -----------------------------------------------------------------

static int run_get(struct outbox_job *job, struct outbox_store *store, uint64_t now_ms)
{
    struct request *request = (struct request *)job;
    const Valvechain__V1__OutboxQuestion *question = question_of(request);
    Valvechain__V1__OutboxOperation *found = &request->operation;
    int64_t seq;
    (void)now_ms;
    int rc = outbox_store_find(store, question->id, &seq);
    rc = rc < 0 ? rc : outbox_store_view(store, seq, found);
    bool stranger = rc == 0 && found->scope.len > 0 &&
                    (found->scope.len != question->scope.len ||
                     memcmp(found->scope.data, question->scope.data, found->scope.len) != 0);
    return stranger ? -ENOENT : rc;
}

static void got(struct outbox_job *job, int error)
{
    struct request *request = (struct request *)job;
    Valvechain__V1__OutboxOperation none = VALVECHAIN__V1__OUTBOX_OPERATION__INIT;
    none.status = error == -ENOENT ? 404 : 503;
    bus_call_answer(&request->call, error == 0 ? &request->operation.base : &none.base);
    request_free(request);
}

static int state_of(const char *name)
{
    for (int i = 0; i < OUTBOX_STATES; i++)
        if (strcmp(name, outbox_state_names[i]) == 0)
            return i;
    return -1;
}

static int set_detail(Valvechain__V1__OutboxCommandResult *reply, unsigned status,
                      const char *detail)
{
    reply->status = status;
    free(reply->detail != NULL && reply->detail[0] != '\0' ? reply->detail : NULL);
    reply->detail = strdup(detail);
    return reply->detail == NULL ? -ENOMEM : 0;
}

static int list(struct outbox_store *store, const Valvechain__V1__OutboxCommand *ask,
                Valvechain__V1__OutboxCommandResult *reply)
{
    uint32_t limit = ask->limit == 0 ? LIST_DEFAULT : ask->limit < LIST_MAX ? ask->limit : LIST_MAX;
    if (ask->state[0] != '\0' && state_of(ask->state) < 0)
        return set_detail(reply, 400,
                          "the state is none of queued, sending, done, dead, parked, "
                          "discarded");
    return outbox_store_list(store, ask->upstream, state_of(ask->state), limit, reply);
}

static int show(struct outbox_store *store, int64_t seq, Valvechain__V1__OutboxCommandResult *reply)
{
    Valvechain__V1__OutboxOperation *operation = malloc(sizeof(*operation));
    reply->operations = calloc(1, sizeof(Valvechain__V1__OutboxOperation *));
    if (operation == NULL || reply->operations == NULL) {
        free(operation);
        return -ENOMEM;
    }
    valvechain__v1__outbox_operation__init(operation);
    reply->operations[reply->n_operations++] = operation;
    return outbox_store_view(store, seq, operation);
}

static int change(struct outbox_store *store, int64_t seq, const char *verb, uint64_t now_ms,
                  Valvechain__V1__OutboxCommandResult *reply)
{
    bool retry = strcmp(verb, "retry") == 0;
    int rc =
        retry ? outbox_store_retry(store, seq, now_ms) : outbox_store_discard(store, seq, now_ms);
    reply->affected = rc == 0;
    if (rc == -EPERM)
        return set_detail(reply, 409,
                          retry ? "it is being sent or is over"
                                : "it is being sent, or over already");
    return rc;
}

// Of all in this state (dead unless told), of the upstream if one is named.
static int change_all(struct outbox_store *store, const Valvechain__V1__OutboxCommand *ask,
                      uint64_t now_ms, Valvechain__V1__OutboxCommandResult *reply)
{
    Valvechain__V1__OutboxCommandResult found = VALVECHAIN__V1__OUTBOX_COMMAND_RESULT__INIT;
    int state = ask->state[0] != '\0' ? state_of(ask->state) : OUTBOX_DEAD;
    if (state != OUTBOX_DEAD && state != OUTBOX_PARKED)
        return set_detail(reply, 400, "several at once must be dead or parked ones");
    int rc = outbox_store_list(store, ask->upstream, state, LIST_MAX, &found);
    for (size_t i = 0; rc == 0 && i < found.n_operations; i++) {
        int64_t seq;
        rc = outbox_store_find(store, found.operations[i]->id, &seq);
        rc = rc < 0                            ? rc
             : strcmp(ask->verb, "retry") == 0 ? outbox_store_retry(store, seq, now_ms)
                                               : outbox_store_discard(store, seq, now_ms);
        reply->affected += rc == 0;
    }
    free_members(&found.base);
    return rc;
}

static int command(struct outbox_store *store, const Valvechain__V1__OutboxCommand *ask,
                   uint64_t now_ms, Valvechain__V1__OutboxCommandResult *reply)
{
    int64_t seq = 0;
    bool pauses = strcmp(ask->verb, "pause") == 0;
    bool changes = strcmp(ask->verb, "retry") == 0 || strcmp(ask->verb, "discard") == 0;
    reply->status = 200;
    if (strcmp(ask->verb, "list") == 0)
        return list(store, ask, reply);
    if (pauses || strcmp(ask->verb, "resume") == 0) {
        reply->affected = 1;
        return outbox_store_set_paused(store, ask->upstream, pauses);
    }
    if (changes && ask->id[0] == '\0')
        return change_all(store, ask, now_ms, reply);
    if (!changes && strcmp(ask->verb, "show") != 0)
        return set_detail(reply, 400,
                          "the verb is none of list, show, retry, discard, pause, "
                          "resume");
    int rc = outbox_store_find(store, ask->id, &seq);
    if (rc < 0)
        return rc;
    return changes ? change(store, seq, ask->verb, now_ms, reply) : show(store, seq, reply);
}

static int run_command(struct outbox_job *job, struct outbox_store *store, uint64_t now_ms)
{
    struct request *request = (struct request *)job;
    return command(store, command_of(request), now_ms, &request->result);
}

static void commanded(struct outbox_job *job, int error)
{
    struct request *request = (struct request *)job;
    struct outbox *outbox = request->outbox;
    Valvechain__V1__OutboxCommandResult *reply = &request->result;
    const Valvechain__V1__OutboxCommand *ask = command_of(request);
    if (error == -ENOENT)
        (void)set_detail(reply, 404, "there is no such operation");
    else if (error < 0)
        (void)set_detail(reply, 503, code_of(error));
    if (strcmp(ask->verb, "list") != 0 && strcmp(ask->verb, "show") != 0)
        log_info("outbox.command", "an operator's command", LSTR("verb", ask->verb),
                 LSTR("id", ask->id), LSTR("upstream", ask->upstream),
                 LUINT("status", reply->status), LUINT("affected", reply->affected));
    bus_call_answer(&request->call, &reply->base);
    request_free(request);
    outbox_replay(outbox);
}

static ProtobufCMessage *answer_command(unsigned status, const char *detail)
{
    Valvechain__V1__OutboxCommandResult *reply = malloc(sizeof(*reply));
    if (reply == NULL)
        return NULL;
    valvechain__v1__outbox_command_result__init(reply);
    if (set_detail(reply, status, detail) == 0)
        return &reply->base;
    free(reply);
    return NULL;
}

static ProtobufCMessage *serve_command(struct outbox *outbox,
                                       const Valvechain__V1__OutboxCommand *ask)
{
    bool names = strcmp(ask->verb, "pause") == 0 || strcmp(ask->verb, "resume") == 0;
    if (names && outbox_config(outbox, ask->upstream) == NULL)
        return answer_command(404, "there is no upstream of that name");
    if (strcmp(ask->verb, "list") == 0 && !outbox_exists(outbox))
        return answer_command(200, "nothing was kept yet");
    if (outbox_prepare(outbox, names) < 0)
        return answer_command(404, "there is no such operation");
    return begin(outbox, ask, run_command, commanded, NULL);
}

static ProtobufCMessage *serve_get(struct outbox *outbox,
                                   const Valvechain__V1__OutboxQuestion *question)
{
    if (outbox_exists(outbox))
        return begin(outbox, question, run_get, got, NULL);
    Valvechain__V1__OutboxOperation *reply = malloc(sizeof(*reply));
    if (reply == NULL)
        return NULL;
    valvechain__v1__outbox_operation__init(reply);
    reply->status = 404;
    return &reply->base;
}

ProtobufCMessage *outbox_request(struct outbox *outbox, const char *topic,
                                 const ProtobufCMessage *message)
{
    if (strcmp(topic, "outbox.submit") == 0)
        return serve_submit(outbox, (const Valvechain__V1__OutboxSubmit *)message);
    if (strcmp(topic, "outbox.upload") == 0)
        return serve_upload(outbox, (const Valvechain__V1__OutboxUpload *)message);
    if (strcmp(topic, "outbox.get") == 0 && !outbox->stopping)
        return serve_get(outbox, (const Valvechain__V1__OutboxQuestion *)message);
    if (strcmp(topic, "outbox.command") == 0 && !outbox->stopping)
        return serve_command(outbox, (const Valvechain__V1__OutboxCommand *)message);
    return NULL;
}
