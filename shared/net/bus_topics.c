#include "net/bus_topics.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/abi.h"
#include "net/bus.h"

static const struct bus_endpoint endpoints[] = {
#define ENDPOINT(process_, kind_, suffix_, help_)                                                  \
    {.process = (process_), .kind = BUS_##kind_, .suffix = (suffix_), .help = (help_)},
#include "endpoints.def"
};
static const struct bus_topic topics[] = {
#define TOPIC(topic_, type_, process_, help_)                                                      \
    {.topic = (topic_),                                                                            \
     .type = &valvechain__v1__##type_##__descriptor,                                               \
     .process = (process_),                                                                        \
     .help = (help_)},
#define CALL(topic_, type_, reply_, process_, help_)                                               \
    {.topic = (topic_),                                                                            \
     .type = &valvechain__v1__##type_##__descriptor,                                               \
     .reply = &valvechain__v1__##reply_##__descriptor,                                             \
     .process = (process_),                                                                        \
     .help = (help_)},
#include "endpoints.def"
};

const struct bus_endpoint *bus_endpoint_at(size_t index)
{
    return index < sizeof(endpoints) / sizeof(endpoints[0]) ? &endpoints[index] : NULL;
}

const struct bus_topic *bus_topic_at(size_t index)
{
    return index < sizeof(topics) / sizeof(topics[0]) ? &topics[index] : NULL;
}

static const struct bus_endpoint *endpoint_find(const char *process, bool commands)
{
    const struct bus_endpoint *endpoint;

    for (size_t i = 0; (endpoint = bus_endpoint_at(i)); i++)
        if ((endpoint->kind == BUS_CMD) == commands && strcmp(endpoint->process, process) == 0)
            return endpoint;
    return NULL;
}

const struct bus_endpoint *bus_endpoint_pub(const char *process)
{
    return endpoint_find(process, false);
}

const struct bus_endpoint *bus_endpoint_cmd(const char *process)
{
    return endpoint_find(process, true);
}

int bus_endpoint_path(const struct bus_endpoint *endpoint, const char *dir, const char *instance,
                      char ret_path[BUS_PATH_MAX])
{
    bool each = endpoint->kind == BUS_PUB_EACH;
    char path[BUS_PATH_MAX];
    int len;

    if (each && (!instance || !*instance || strchr(instance, '/')))
        return -EINVAL;
    len = snprintf(path, sizeof(path), "%s/%s%s%s.%d.%s", dir, endpoint->process, each ? "@" : "",
                   each ? instance : "", VALVECHAIN_ABI, endpoint->suffix);
    if (len < 0 || (size_t)len >= sizeof(path))
        return -ENAMETOOLONG;
    memcpy(ret_path, path, (size_t)len + 1);
    return 0;
}

bool bus_endpoint_is_file(const struct bus_endpoint *endpoint, const char *file)
{
    size_t process_len = strlen(endpoint->process), file_len = strlen(file);
    char tail[BUS_PATH_MAX];
    int tail_len = snprintf(tail, sizeof(tail), ".%d.%s", VALVECHAIN_ABI, endpoint->suffix);
    size_t middle;

    if (strncmp(file, endpoint->process, process_len) != 0 ||
        file_len < process_len + (size_t)tail_len || strcmp(file + file_len - tail_len, tail) != 0)
        return false;
    middle = file_len - process_len - (size_t)tail_len;
    if (endpoint->kind == BUS_PUB_EACH)
        return middle >= 2 && file[process_len] == '@';
    return middle == 0;
}

static bool topic_matches(const struct bus_topic *row, const char *topic)
{
    size_t len = strlen(row->topic);

    if (row->topic[len - 1] == '.')
        return strncmp(row->topic, topic, len) == 0 && topic[len];
    return strcmp(row->topic, topic) == 0;
}

// Each message asks some times, most often for the topic of the last one.
static const struct bus_topic *topic_find(const char *topic)
{
    static _Thread_local const struct bus_topic *last;
    const struct bus_topic *row;

    if (last && topic_matches(last, topic))
        return last;
    for (size_t i = 0; (row = bus_topic_at(i)); i++)
        if (topic_matches(row, topic))
            return last = row;
    return NULL;
}

const ProtobufCMessageDescriptor *bus_topic_type(const char *topic)
{
    const struct bus_topic *row = topic_find(topic);

    return row ? row->type : NULL;
}

const ProtobufCMessageDescriptor *bus_topic_reply(const char *topic)
{
    const struct bus_topic *row = topic_find(topic);

    if (!row)
        return NULL;
    return row->reply ? row->reply : row->type;
}

int bus_topic_decode(const void *bytes, size_t len, char ret_topic[BUS_TOPIC_MAX])
{
    const unsigned char *text = bytes;

    if (!len || len >= BUS_TOPIC_MAX)
        return -EPROTO;
    for (size_t i = 0; i < len; i++)
        if (text[i] < 0x21 || text[i] > 0x7e)
            return -EPROTO;
    memcpy(ret_topic, bytes, len);
    ret_topic[len] = '\0';
    return 0;
}

int bus_message_decode(const char *topic, const void *bytes, size_t len,
                       ProtobufCMessage **ret_message)
{
    return bus_type_decode(bus_topic_type(topic), bytes, len, ret_message);
}

int bus_type_decode(const ProtobufCMessageDescriptor *type, const void *bytes, size_t len,
                    ProtobufCMessage **ret_message)
{
    ProtobufCMessage *message = NULL;

    if (type) {
        message = protobuf_c_message_unpack(type, NULL, len, bytes);
        if (!message)
            return -EPROTO;
    }
    *ret_message = message;
    return 0;
}
