// The two streams of an exchange: the request towards the upstream, the answer from it.
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "answer.h"
#include "base/assert.h"
#include "base/clock.h"
#include "client.h"
#include "exchange_retry.h"
#include "exchange_transport.h"
#include "fallback.h"
#include "front.h"
#include "upstream_health.h"
#include "valve_outcome.h"

// "ffffffff\r\n" before a chunk and "\r\n" behind it.
#define CHUNK_OVERHEAD 16

static bool frames_chunks(const struct exchange *x)
{
    return x->request->chunked && x->transport->frames_chunks;
}

bool exchange_wants_body(const struct exchange *x)
{
    return x->phase != EXCHANGE_ENDED && !x->send_stopped;
}

size_t exchange_room(const struct exchange *x)
{
    size_t room = body_room(&x->out);
    if (!frames_chunks(x)) {
        return room;
    }
    return room > CHUNK_OVERHEAD ? room - CHUNK_OVERHEAD : 0;
}

static size_t put_chunk(struct exchange *x, const void *bytes, size_t len)
{
    size_t room = exchange_room(x);
    if (room == 0) {
        return 0;
    }
    len = len < room ? len : room;
    char size[12];
    int digits = snprintf(size, sizeof(size), "%zx\r\n", len);
    // All three or none: the room for them was seen, only memory can be missing, and then at once.
    if (body_put(&x->out, size, (size_t)digits) == 0) {
        return 0;
    }
    body_put(&x->out, bytes, len);
    body_put(&x->out, "\r\n", 2);
    return len;
}

size_t exchange_send(struct exchange *x, const void *bytes, size_t len)
{
    if (!exchange_wants_body(x)) {
        return len;
    }
    size_t taken = 0;
    for (;;) {
        size_t n = frames_chunks(x) ? put_chunk(x, (const char *)bytes + taken, len - taken)
                                    : body_put(&x->out, (const char *)bytes + taken, len - taken);
        taken += n;
        if (n == 0 && taken < len && exchange_room(x) > 0) { // no memory
            exchange_finish(x, EXCHANGE_POOL_FULL);
            return len;
        }
        if (n == 0 || taken == len) {
            return taken;
        }
    }
}

void exchange_send_end(struct exchange *x)
{
    if (!exchange_wants_body(x) || x->out.ended) {
        return;
    }
    ASSERT(x->request->discarded == 0); // a part would look like the whole
    if (frames_chunks(x) && body_room(&x->out) < 5) {
        x->end_pending = true; // goes in when there is room
        return;
    }
    if (frames_chunks(x) && body_put(&x->out, "0\r\n\r\n", 5) < 5) {
        exchange_finish(x, EXCHANGE_POOL_FULL); // no memory
        return;
    }
    x->out.ended = true;
    exchange_flush(x);
}

void exchange_expect_answer(struct exchange *x)
{
    uint64_t now_ms = front_now_ms(x->front);
    x->progress_ms = now_ms;
    if (x->first_byte_deadline_ms == UINT64_MAX && x->first_byte_timeout_ms < UINT64_MAX - now_ms) {
        x->first_byte_deadline_ms = now_ms + x->first_byte_timeout_ms;
    }
}

void exchange_stop_sending(struct exchange *x)
{
    x->send_stopped = true;
    exchange_expect_answer(x);
    body_forget(&x->out);
    client_wake(x->request); // what it holds back is dropped now
}

static void note_sent_all(struct exchange *x)
{
    if (x->sent_all || !x->out.ended) {
        return;
    }
    x->sent_all = true;
    exchange_expect_answer(x);
}

void exchange_sent(struct exchange *x, bool all)
{
    if (x->end_pending && body_room(&x->out) >= 5) {
        x->end_pending = false;
        exchange_send_end(x);
        return;
    }
    if (all) {
        note_sent_all(x);
    }
    if (!x->out.ended && body_room(&x->out) >= x->front->bodies.buffer_bytes / 2) {
        client_wake(x->request);
    }
}

void exchange_flush(struct exchange *x)
{
    if (x->phase == EXCHANGE_OPEN && !x->send_stopped && !x->write_failed) {
        x->transport->flush(x);
    }
}

void exchange_answer_begins(struct exchange *x)
{
    if (!x->answer_begun) {
        x->answer_begun = true;
        x->request->first_byte_ns = clock_mono_ns();
    }
}

void exchange_refuse_answer(struct exchange *x, int error)
{
    exchange_finish(x, error == -EMSGSIZE ? EXCHANGE_HEAD_TOO_LARGE : EXCHANGE_BAD_ANSWER);
}

// Something of the answer is new: gives it to the client's side as far as it can go.
void exchange_deliver(struct exchange *x)
{
    struct request *request = x->request;
    struct upstream_answer *answer = &x->answer;
    if (!answer->head_complete) {
        return;
    }
    if (exchange_retry(x, EXCHANGE_ANSWERED)) {
        return;
    }
    // An early answer that refuses or closes wants no more of the body.
    if (!x->sent_all && !x->send_stopped &&
        (answer->complete || answer->status >= 300 || x->write_failed)) {
        exchange_stop_sending(x);
    }
    if (!request->answered) {
        bool short_one =
            answer->framing == ANSWER_BY_LENGTH && answer->length <= x->front->bodies.buffer_bytes;
        if (!answer->complete && short_one && x->held_since_ms == 0) {
            x->held_since_ms = front_now_ms(x->front) | 1; // never 0
        } else if (answer->complete || !short_one) {
            exchange_release_held(x);
        }
    } else {
        client_wake(request);
    }
    if (answer->complete) {
        exchange_finish(x, EXCHANGE_ANSWERED);
    } else if (x->phase == EXCHANGE_OPEN && body_room(&x->in) == 0 && !x->reading_paused) {
        x->reading_paused = true;
        x->transport->pause(x, true);
    }
}

void exchange_release_held(struct exchange *x)
{
    x->held_since_ms = 0;
    // A trial is not kept waiting for the end of a long answer.
    if (x->endpoint->health.state == ENDPOINT_TRIAL) {
        upstream_health_report(
            x->endpoint, x->ticket,
            valve_classify(&x->pool->config->outcomes, EXCHANGE_ANSWERED, x->answer.status));
    }
    if (fallback_replaces(x->request, x->answer.status)) {
        exchange_finish(x, EXCHANGE_ANSWERED); // what else comes of it, nobody wants
    } else {
        answer_upstream(x->request);
    }
}

ssize_t exchange_read(struct exchange *x, void *to, size_t cap)
{
    size_t n = body_read(&x->in, to, cap);
    if (n == 0) {
        return x->broken ? -ECONNRESET : x->answer.complete ? -ENODATA : 0;
    }
    if (x->reading_paused && x->phase == EXCHANGE_OPEN &&
        body_room(&x->in) >= x->front->bodies.buffer_bytes / 2) {
        x->reading_paused = false;
        x->progress_ms = front_now_ms(x->front);
        x->transport->pause(x, false);
    }
    return (ssize_t)n;
}
