#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "net/bus.h"
#include "net/bus_topics.h"

Test(topics, every_topic_of_the_file_has_its_type)
{
    cr_assert_eq(bus_topic_type("ping"), &valvechain__v1__ping__descriptor);
    cr_assert_eq(bus_topic_type("process.started"), &valvechain__v1__process_event__descriptor);
    cr_assert_eq(bus_topic_type("breaker.event.database"),
                 &valvechain__v1__breaker_event__descriptor);
    cr_assert_eq(bus_topic_type("security.token_forged"),
                 &valvechain__v1__security_event__descriptor);
}

Test(topics, a_topic_is_whole_and_a_prefix_needs_its_rest)
{
    cr_assert_null(bus_topic_type("pin"));
    cr_assert_null(bus_topic_type("pings"));
    cr_assert_null(bus_topic_type("breaker.event."));
    cr_assert_null(bus_topic_type("breaker.event"));
    cr_assert_null(bus_topic_type(""));
}

Test(topics, names_do_not_shadow_each_other)
{
    const struct bus_topic *a, *b;

    for (size_t i = 0; (a = bus_topic_at(i)); i++) {
        for (size_t j = 0; (b = bus_topic_at(j)); j++) {
            size_t len = strlen(b->topic);

            if (i != j && b->topic[len - 1] == '.')
                cr_assert_neq(strncmp(a->topic, b->topic, len), 0, "%s and %s", a->topic, b->topic);
            cr_assert(i == j || strcmp(a->topic, b->topic) != 0);
        }
    }
}

Test(topics, topic_frames_are_checked)
{
    char topic[BUS_TOPIC_MAX], longest[BUS_TOPIC_MAX + 1];

    cr_assert_eq(bus_topic_decode("ping", 4, topic), 0);
    cr_assert_str_eq(topic, "ping");
    cr_assert_eq(bus_topic_decode("", 0, topic), -EPROTO);
    cr_assert_eq(bus_topic_decode("a b", 3, topic), -EPROTO);
    cr_assert_eq(bus_topic_decode("a\0b", 3, topic), -EPROTO);
    cr_assert_eq(bus_topic_decode("a\n", 2, topic), -EPROTO);
    cr_assert_eq(bus_topic_decode("\xc3\xa9", 2, topic), -EPROTO);
    memset(longest, 'x', sizeof(longest));
    cr_assert_eq(bus_topic_decode(longest, BUS_TOPIC_MAX - 1, topic), 0);
    cr_assert_eq(bus_topic_decode(longest, BUS_TOPIC_MAX, topic), -EPROTO);
}

Test(topics, paths)
{
    char path[BUS_PATH_MAX];
    char dir[BUS_PATH_MAX];

    cr_assert_eq(bus_endpoint_path(bus_endpoint_pub("limiter"), "/run/v", NULL, path), 0);
    cr_assert_str_eq(path, "/run/v/limiter.1.events");
    cr_assert_eq(bus_endpoint_path(bus_endpoint_cmd("limiter"), "/run/v", NULL, path), 0);
    cr_assert_str_eq(path, "/run/v/limiter.1.commands");
    cr_assert_eq(bus_endpoint_path(bus_endpoint_pub("api-front"), "/run/v", "2", path), 0);
    cr_assert_str_eq(path, "/run/v/api-front@2.1.events");
    cr_assert_eq(bus_endpoint_path(bus_endpoint_pub("api-front"), "/run/v", "", path), -EINVAL);
    cr_assert_eq(bus_endpoint_path(bus_endpoint_pub("api-front"), "/run/v", "../x", path), -EINVAL);
    memset(dir, 'd', sizeof(dir));
    dir[BUS_PATH_MAX - 1 - strlen("/limiter.1.events")] = '\0';
    cr_assert_eq(bus_endpoint_path(bus_endpoint_pub("limiter"), dir, NULL, path), 0);
    cr_assert_eq(strlen(path), BUS_PATH_MAX - 1);
    dir[strlen(dir)] = 'd';
    dir[BUS_PATH_MAX - strlen("/limiter.1.events")] = '\0';
    cr_assert_eq(bus_endpoint_path(bus_endpoint_pub("limiter"), dir, NULL, path), -ENAMETOOLONG);
    cr_assert_null(bus_endpoint_pub("valvectl"));
    cr_assert_null(bus_endpoint_cmd("api-front"));
}

Test(topics, files_of_an_endpoint)
{
    const struct bus_endpoint *limiter = bus_endpoint_pub("limiter");
    const struct bus_endpoint *front = bus_endpoint_pub("api-front");

    cr_assert(bus_endpoint_is_file(limiter, "limiter.1.events"));
    cr_assert_not(bus_endpoint_is_file(limiter, "limiter.2.events")); // another ABI
    cr_assert_not(bus_endpoint_is_file(limiter, "limiter.1.commands"));
    cr_assert_not(bus_endpoint_is_file(limiter, "limiter@1.1.events"));
    cr_assert_not(bus_endpoint_is_file(limiter, "xlimiter.1.events"));
    cr_assert(bus_endpoint_is_file(front, "api-front@2.1.events"));
    cr_assert_not(bus_endpoint_is_file(front, "api-front@.1.events"));
    cr_assert_not(bus_endpoint_is_file(front, "api-front.1.events"));
    cr_assert_not(bus_endpoint_is_file(front, ".events"));
}

Test(topics, messages_decode_by_their_topic)
{
    ProtobufCMessage *message;

    cr_assert_eq(bus_message_decode("ping", "", 0, &message), 0);
    cr_assert_eq(message->descriptor, &valvechain__v1__ping__descriptor);
    protobuf_c_message_free_unpacked(message, NULL);
    cr_assert_eq(bus_message_decode("nobody.knows", "x", 1, &message), 0);
    cr_assert_null(message);
    message = (void *)1;
    cr_assert_eq(bus_message_decode("ping", "\xff", 1, &message), -EPROTO);
    cr_assert_eq(message, (void *)1);
}
