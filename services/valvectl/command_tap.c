// valvectl tap: every message on the suite's bus, one JSON object a line, until interrupted.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/strbuf.h"
#include "net/bus.h"
#include "service/service.h"
#include "valvectl.h"

static void on_message(void *arg, const char *topic, const ProtobufCMessage *message)
{
    struct strbuf line = STRBUF_INIT;
    (void)arg;
    strbuf_puts(&line, "{\"topic\":");
    strbuf_json_string(&line, topic, strlen(topic));
    strbuf_puts(&line, ",\"message\":");
    if (message)
        bus_message_json(message, &line);
    else
        strbuf_puts(&line, "null");
    strbuf_puts(&line, "}\n");
    if (strbuf_ok(&line)) {
        fputs(strbuf_text(&line), stdout);
        fflush(stdout);
    }
    strbuf_fini(&line);
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    uv_stop(handle->loop);
}

// The handles are the caller's: they live until the loop has turned once more after their closing.
static int run_tap(uv_loop_t *loop, uv_signal_t signals[2], struct bus *bus, const char *prefix)
{
    static const int numbers[2] = {SIGINT, SIGTERM};
    for (int i = 0; i < 2; i++) {
        uv_signal_init(loop, &signals[i]);
        uv_signal_start(&signals[i], on_signal, numbers[i]);
    }
    int error = bus_subscribe_all(bus, prefix, on_message, NULL);
    if (error == 0)
        uv_run(loop, UV_RUN_DEFAULT);
    for (int i = 0; i < 2; i++)
        uv_close((uv_handle_t *)&signals[i], NULL);
    return error;
}

int command_tap(struct valvectl *ctl)
{
    char socket_dir[108], instance[24];
    uv_loop_t loop;
    uv_signal_t signals[2];
    struct bus *bus;
    int error = service_socket_dir(&ctl->suite, socket_dir, sizeof(socket_dir));
    snprintf(instance, sizeof(instance), "%d", (int)getpid());
    struct bus_options options = {.socket_dir = socket_dir,
                                  .suite = ctl->suite.name,
                                  .process = "valvectl",
                                  .instance = instance};
    uv_loop_init(&loop);
    if (error == 0)
        error = bus_open(&loop, &options, &bus);
    if (error == 0) {
        error = run_tap(&loop, signals, bus, ctl->argc > 0 ? ctl->argv[0] : "");
        bus_close(&bus);
    }
    uv_run(&loop, UV_RUN_DEFAULT); // the handles' close callbacks
    uv_loop_close(&loop);
    if (error == 0)
        return VALVECTL_OK;
    fprintf(stderr, "valvectl: cannot listen to suite '%s': %s\n", ctl->suite.name,
            strerror(-error));
    return VALVECTL_UNREACHABLE;
}
