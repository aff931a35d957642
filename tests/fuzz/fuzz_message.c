// Messages from other processes and hosts: topic and bytes as they come, decoded and written as
// JSON. Input: the topic, a NUL byte, the message.
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/strbuf.h"
#include "net/bus.h"
#include "net/bus_topics.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

// Unknown fields are carried along (overlong tags and all), so what is packed need not decode
// again; but the length is as announced.
static void check_packing(const ProtobufCMessage *message)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    unsigned char *bytes = malloc(len ? len : 1);

    ASSERT(bytes && protobuf_c_message_pack(message, bytes) == len);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    const unsigned char *end = memchr(data, '\0', size);
    size_t topic_len = end ? (size_t)(end - data) : size;
    size_t rest = end ? size - topic_len - 1 : 0;
    char topic[BUS_TOPIC_MAX];
    struct strbuf json = STRBUF_INIT;
    ProtobufCMessage *message;

    if (bus_topic_decode(data, topic_len, topic) < 0 ||
        bus_message_decode(topic, end ? end + 1 : data, rest, &message) < 0)
        return 0;
    ASSERT(strlen(topic) == topic_len);
    bus_message_json(message, &json);
    ASSERT(strbuf_ok(&json) && json.len > 0);
    if (message) {
        ASSERT(json.text[0] == '{' && json.text[json.len - 1] == '}');
        check_packing(message);
        protobuf_c_message_free_unpacked(message, NULL);
    }
    strbuf_fini(&json);
    return 0;
}
