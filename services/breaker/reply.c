#include "reply.h"

#include <errno.h>
#include <stdlib.h>

int reply_append(const ProtobufCMessage *message, struct strbuf *reply)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = malloc(len + 1);
    if (packed == NULL)
        return -ENOMEM;
    strbuf_append(reply, packed, protobuf_c_message_pack(message, packed));
    free(packed);
    return strbuf_ok(reply) ? 0 : -ENOMEM;
}
