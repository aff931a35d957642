// docs/protocol.md: the sockets and topics of proto/endpoints.def and the messages behind them,
// from the descriptors that the program itself uses.
#include "pages.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/abi.h"
#include "base/assert.h"
#include "net/bus_topics.h"

#define MESSAGES_MAX 64

struct messages { // in the order in which topics and fields name them
    const ProtobufCMessageDescriptor *items[MESSAGES_MAX];
    size_t n;
};

static void collect(struct messages *messages, const ProtobufCMessageDescriptor *type)
{
    for (size_t i = 0; i < messages->n; i++)
        if (messages->items[i] == type)
            return;
    ASSERT(messages->n < MESSAGES_MAX);
    messages->items[messages->n++] = type;
    for (unsigned i = 0; i < type->n_fields; i++)
        if (type->fields[i].type == PROTOBUF_C_TYPE_MESSAGE)
            collect(messages, type->fields[i].descriptor);
}

// The anchor that Markdown viewers make of a heading.
static void message_link(const ProtobufCMessageDescriptor *type, struct strbuf *out)
{
    strbuf_printf(out, "[%s](#", type->short_name);
    for (const char *c = type->short_name; *c; c++) {
        char lower = (char)tolower((unsigned char)*c);

        strbuf_append(out, &lower, 1);
    }
    strbuf_puts(out, ")");
}

static void field_type(const ProtobufCFieldDescriptor *field, struct strbuf *out)
{
    static const char *const names[] = {
        [PROTOBUF_C_TYPE_INT32] = "int32",       [PROTOBUF_C_TYPE_SINT32] = "sint32",
        [PROTOBUF_C_TYPE_SFIXED32] = "sfixed32", [PROTOBUF_C_TYPE_INT64] = "int64",
        [PROTOBUF_C_TYPE_SINT64] = "sint64",     [PROTOBUF_C_TYPE_SFIXED64] = "sfixed64",
        [PROTOBUF_C_TYPE_UINT32] = "uint32",     [PROTOBUF_C_TYPE_FIXED32] = "fixed32",
        [PROTOBUF_C_TYPE_UINT64] = "uint64",     [PROTOBUF_C_TYPE_FIXED64] = "fixed64",
        [PROTOBUF_C_TYPE_FLOAT] = "float",       [PROTOBUF_C_TYPE_DOUBLE] = "double",
        [PROTOBUF_C_TYPE_BOOL] = "bool",         [PROTOBUF_C_TYPE_ENUM] = "enum",
        [PROTOBUF_C_TYPE_STRING] = "string",     [PROTOBUF_C_TYPE_BYTES] = "bytes"};

    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        strbuf_puts(out, "repeated ");
    if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        message_link(field->descriptor, out);
    else
        strbuf_puts(out, names[field->type]);
}

static void write_sockets(struct strbuf *out)
{
    static const char *const kinds[] = {
        [BUS_PUB] = "PUB", [BUS_PUB_EACH] = "PUB", [BUS_CMD] = "ROUTER"};
    const struct bus_endpoint *endpoint;

    strbuf_puts(out, "## Sockets\n\n"
                     "| address | kind | carries |\n| --- | --- | --- |\n");
    for (size_t i = 0; (endpoint = bus_endpoint_at(i)); i++)
        strbuf_printf(out, "| `ipc://SOCKET_DIR/%s%s.%d.%s` | %s | %s |\n", endpoint->process,
                      endpoint->kind == BUS_PUB_EACH ? "@INSTANCE" : "", VALVECHAIN_ABI,
                      endpoint->suffix, kinds[endpoint->kind], endpoint->help);
}

static void write_topics(struct strbuf *out)
{
    const struct bus_topic *topic;

    strbuf_puts(out, "\n## Topics\n\n"
                     "| topic | message | sent by | when |\n| --- | --- | --- | --- |\n");
    for (size_t i = 0; (topic = bus_topic_at(i)); i++) {
        if (topic->reply)
            continue;
        bool is_prefix = topic->topic[strlen(topic->topic) - 1] == '.';

        strbuf_printf(out, "| `%s%s` | ", topic->topic, is_prefix ? "*" : "");
        message_link(topic->type, out);
        strbuf_printf(out, " | %s | %s |\n", topic->process, topic->help);
    }
}

static void write_calls(struct strbuf *out)
{
    const struct bus_topic *topic;

    strbuf_puts(out, "\n## Requests\n\n"
                     "| topic | request | reply | answered by | asks |\n"
                     "| --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; (topic = bus_topic_at(i)); i++) {
        if (!topic->reply)
            continue;
        strbuf_printf(out, "| `%s` | ", topic->topic);
        message_link(topic->type, out);
        strbuf_puts(out, " | ");
        message_link(topic->reply, out);
        strbuf_printf(out, " | %s | %s |\n", topic->process, topic->help);
    }
}

static void write_message(const ProtobufCMessageDescriptor *type, struct strbuf *out)
{
    strbuf_printf(out, "\n### %s\n\n| number | field | type |\n| --- | --- | --- |\n",
                  type->short_name);
    for (unsigned i = 0; i < type->n_fields; i++) {
        strbuf_printf(out, "| %u | `%s` | ", type->fields[i].id, type->fields[i].name);
        field_type(&type->fields[i], out);
        strbuf_puts(out, " |\n");
    }
}

int protocol_page(struct strbuf *out)
{
    struct messages messages = {.n = 0};
    const struct bus_topic *topic;

    strbuf_puts(
        out,
        "# The protocol between the processes\n\n"
        "Made from `proto/endpoints.def` and `proto/valvechain/v1/valvechain.proto`; do not "
        "edit.\n\n"
        "What a request needs on its way lies in the shared-memory segment; this is the rest: "
        "events,\ncommands, snapshots. It is ZeroMQ over Unix sockets (mode 0660) in `SOCKET_DIR`. "
        "The number in a path is\nthe ABI of the segment, so that an old and a new version run "
        "side "
        "by side.\n\n"
        "A message is two frames: the topic in clear text (1 to 127 printable ASCII bytes, no "
        "blanks), then a\nProtocol Buffers message of the topic's type, at most 1 MiB. Subscribe "
        "by "
        "prefix of the topic.\n\n"
        "A request has the sender's envelope before these two, up to and with an empty frame; a "
        "plain REQ socket\ndoes that by itself. The reply has the same envelope and topic. What is "
        "not served is answered with the\ntopic `refused` and the reason; what cannot even be "
        "answered is dropped and counted in\n`valvechain_bus_malformed_total`.\n\n"
        "A request whose message begins with `{` is JSON: the fields below by name, 64-bit numbers "
        "as "
        "numbers,\nbytes in hexadecimal digits. Its reply is JSON too, so a program needs no "
        "generated code "
        "(examples/python).\n\n"
        "Times are nanoseconds since 1970 UTC. Fields are only ever added, and a number is never "
        "used twice.\n`valvectl tap` shows every message as JSON.\n\n");
    write_sockets(out);
    write_topics(out);
    write_calls(out);
    strbuf_puts(out, "\n## Messages\n");
    for (size_t i = 0; (topic = bus_topic_at(i)); i++)
        collect(&messages, topic->type);
    for (size_t i = 0; (topic = bus_topic_at(i)); i++)
        if (topic->reply)
            collect(&messages, topic->reply);
    for (size_t i = 0; i < messages.n; i++)
        write_message(messages.items[i], out);
    return strbuf_ok(out) ? 0 : -ENOMEM;
}
