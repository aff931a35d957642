#include <criterion/criterion.h>
#include <jansson.h>

#include "action_body.h"
#include "action_webhook.h"

// Expected: python3 -c "import hmac;print(hmac.new(key, stamp + b'.' + body,
// 'sha256').hexdigest())"
Test(action_body, the_signature_is_what_another_library_makes_of_it)
{
    char signature[ACTION_SIGNATURE_CHARS];
    action_webhook_sign("a secret of 24 bytes....", 1764000000, "{\"desired\":6}", 13, signature);
    cr_assert_str_eq(signature,
                     "v1=7806ad0f1efccbe9b93f1d72adcb6a2b2bc9a605606b3f093b374b517fe7efa0");
    action_webhook_sign("a secret of 24 bytes....", 1764000001, "{\"desired\":6}", 13, signature);
    cr_assert_str_neq(signature,
                      "v1=7806ad0f1efccbe9b93f1d72adcb6a2b2bc9a605606b3f093b374b517fe7efa0");
}

Test(action_body, the_json_carries_number_reason_and_chain)
{
    struct strbuf out = STRBUF_INIT;
    struct advice advice = {.action = ADVICE_SCALE_UP,
                            .current = 4,
                            .desired = 10,
                            .valid = 1,
                            .priority = "high",
                            .reason = "RPS (\"300\") exceeds",
                            .n_signals = 1,
                            .n_clamps = 1,
                            .signals = {{.signal = "rps",
                                         .known = 1,
                                         .value = 300.5,
                                         .threshold = 100,
                                         .proposed = 12,
                                         .reason = "because"}},
                            .clamps = {{.rule = "max_instances", .before = 12, .after = 10}}};
    action_body_write(&advice, "shop", 1764000000, &out);
    json_t *root = json_loadb(out.text, out.len, 0, NULL);
    cr_assert(root, "%s", out.text);
    const char *suite, *action, *reason, *signal, *rule;
    int desired, current, proposed, before, after, asof;
    double value;
    cr_assert_eq(
        json_unpack(
            root, "{s:s, s:i, s:i, s:i, s:s, s:s, s:[{s:s, s:f, s:i}], s:[{s:s, s:i, s:i}]}",
            "suite", &suite, "asof", &asof, "desired", &desired, "current", &current, "action",
            &action, "reason", &reason, "signals", "signal", &signal, "value", &value, "proposed",
            &proposed, "clamps", "rule", &rule, "before", &before, "after", &after),
        0);
    cr_assert_str_eq(suite, "shop");
    cr_assert_str_eq(action, "scale_up");
    cr_assert_str_eq(reason, "RPS (\"300\") exceeds");
    cr_assert_str_eq(rule, "max_instances");
    cr_assert(desired == 10 && current == 4 && proposed == 12 && before == 12 && after == 10);
    cr_assert_eq(asof, 1764000000);
    json_decref(root);
    strbuf_fini(&out);
}
