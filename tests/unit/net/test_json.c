#include <criterion/criterion.h>
#include <math.h>

#include "base/strbuf.h"
#include "net/bus.h"

static void expect_json(const ProtobufCMessage *message, const char *expected)
{
    struct strbuf out = STRBUF_INIT;

    bus_message_json(message, &out);
    cr_assert(strbuf_ok(&out));
    cr_assert_str_eq(strbuf_text(&out), expected);
    strbuf_fini(&out);
}

Test(json, plain_fields_always_stand_and_absent_messages_never)
{
    Valvechain__V1__Ping ping = VALVECHAIN__V1__PING__INIT;

    expect_json(&ping.base, "{\"version\":\"\",\"uptime_ms\":0}");
}

Test(json, nested_texts_are_escaped_and_large_numbers_whole)
{
    Valvechain__V1__Ping ping = VALVECHAIN__V1__PING__INIT;
    Valvechain__V1__Origin origin = VALVECHAIN__V1__ORIGIN__INIT;
    char suite[] = "a\"b\n", version[] = "\xff!";

    origin.suite = suite;
    origin.wall_ns = UINT64_MAX;
    ping.origin = &origin;
    ping.version = version;
    expect_json(&ping.base,
                "{\"origin\":{\"suite\":\"a\\\"b\\n\",\"process\":\"\",\"instance\":\"\","
                "\"wall_ns\":18446744073709551615,\"host\":\"\"},"
                "\"version\":\"\xef\xbf\xbd!\",\"uptime_ms\":0}");
}

Test(json, lists_doubles_and_booleans)
{
    Valvechain__V1__Advice advice = VALVECHAIN__V1__ADVICE__INIT;
    Valvechain__V1__Proposal cpu = VALVECHAIN__V1__PROPOSAL__INIT, rps = cpu,
                             *list[] = {&cpu, &rps};
    char name[] = "cpu";

    cpu.signal = name;
    cpu.value = 0.1;
    rps.value = NAN;
    rps.threshold = INFINITY;
    advice.n_proposals = 2;
    advice.proposals = list;
    advice.valid = true;
    expect_json(&advice.base,
                "{\"sequence\":0,\"action\":\"\",\"reason\":\"\",\"priority\":\"\","
                "\"current_instances\":0,\"desired_instances\":0,\"proposals\":["
                "{\"signal\":\"cpu\",\"value\":0.1,\"threshold\":0,"
                "\"proposed_instances\":0},"
                "{\"signal\":\"\",\"value\":null,\"threshold\":null,\"proposed_instances\":0}],"
                "\"clamps\":[],\"valid\":true}");
}

Test(json, nothing_is_null)
{
    expect_json(NULL, "null");
}
