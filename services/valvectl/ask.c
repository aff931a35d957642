#include "ask.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "net/bus.h"
#include "service/service.h"

#define DEADLINE_MS 5000

struct question {
    uv_loop_t *loop;
    const char *process;
    ask_reply_fn *on_reply;
    void *arg;
    int result;
};

static void replied(void *arg, int error, const ProtobufCMessage *reply)
{
    struct question *question = arg;
    const Valvechain__V1__Refusal *refusal = (const Valvechain__V1__Refusal *)reply;
    if (error == 0 && reply) {
        question->on_reply(question->arg, reply);
        question->result = VALVECTL_OK;
    } else if (error == -EOPNOTSUPP && reply) {
        fprintf(stderr, "valvectl: %s refused: %s\n", question->process, refusal->reason);
        question->result = VALVECTL_FINDING;
    } else {
        fprintf(stderr, "valvectl: %s does not answer: %s\n", question->process, strerror(-error));
    }
    uv_stop(question->loop);
}

int ask(const struct valvectl *ctl, const char *process, const char *topic,
        const ProtobufCMessage *message, ask_reply_fn *on_reply, void *arg)
{
    char socket_dir[108], instance[24];
    uv_loop_t loop;
    struct bus *bus;
    struct question question = {.loop = &loop,
                                .process = process,
                                .on_reply = on_reply,
                                .arg = arg,
                                .result = VALVECTL_UNREACHABLE};
    int error = service_socket_dir(&ctl->suite, socket_dir, sizeof(socket_dir));
    snprintf(instance, sizeof(instance), "%d", (int)getpid());
    struct bus_options options = {.socket_dir = socket_dir,
                                  .suite = ctl->suite.name,
                                  .process = "valvectl",
                                  .instance = instance};
    uv_loop_init(&loop);
    error = error < 0 ? error : bus_open(&loop, &options, &bus);
    if (error == 0) {
        error = bus_request(bus, process, topic, message, DEADLINE_MS, replied, &question);
        if (error == 0)
            uv_run(&loop, UV_RUN_DEFAULT);
        bus_close(&bus);
    }
    uv_run(&loop, UV_RUN_DEFAULT); // the handles' close callbacks
    uv_loop_close(&loop);
    if (error < 0)
        fprintf(stderr, "valvectl: cannot ask %s of suite '%s': %s\n", process, ctl->suite.name,
                strerror(-error));
    return question.result;
}
