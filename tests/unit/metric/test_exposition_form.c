// Which format an Accept header asks for (RFC 9110, 12.5.1).
#include <criterion/criterion.h>

#include "metric/exposition.h"

#define OM   "application/openmetrics-text"
#define TEXT "text/plain"

Test(exposition_form, of_accept)
{
    static const struct {
        const char *accept;
        enum exposition_form form;
    } cases[] = {
        {NULL, EXPOSITION_TEXT}, // KEDA sends none
        {"", EXPOSITION_TEXT},
        {"*/*", EXPOSITION_TEXT}, // curl
        {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", EXPOSITION_TEXT},
        {"application/json", EXPOSITION_TEXT},
        {"image/png;q=1", EXPOSITION_TEXT},
        {OM, EXPOSITION_OPENMETRICS},
        {"Application/OpenMetrics-Text", EXPOSITION_OPENMETRICS},
        {OM "; version=1.0.0", EXPOSITION_OPENMETRICS},
        {OM ";version=\"1.0.0\";charset=utf-8", EXPOSITION_OPENMETRICS},
        {OM ";version=0.0.1", EXPOSITION_TEXT},
        {OM ";version=2.0.0", EXPOSITION_TEXT},
        // Prometheus 2.42 and 3
        {OM ";version=1.0.0," OM ";version=0.0.1;q=0.75," TEXT ";version=0.0.4;q=0.5,*/*;q=0.1",
         EXPOSITION_OPENMETRICS},
        {OM ";version=1.0.0;escaping=allow-utf-8;q=0.6," OM ";version=0.0.1;q=0.5," TEXT
            ";version=1.0.0;escaping=allow-utf-8;q=0.4," TEXT ";version=0.0.4;q=0.3,*/*;q=0.2",
         EXPOSITION_OPENMETRICS},
        {TEXT ";version=0.0.4;q=0.5," OM ";version=1.0.0;q=0.4", EXPOSITION_TEXT},
        {OM ";q=0.4, " TEXT ";q=0.5", EXPOSITION_TEXT},
        {OM ";q=0.5, " TEXT ";q=0.5", EXPOSITION_OPENMETRICS},
        {OM ";q=0.5, */*;q=0.9", EXPOSITION_TEXT},
        {OM ";q=0, */*", EXPOSITION_TEXT},
        {TEXT ";q=0, */*", EXPOSITION_OPENMETRICS},
        {OM ";q=0", EXPOSITION_TEXT},
        {"application/*", EXPOSITION_OPENMETRICS},
        {"application/*;q=0.2, text/*;q=0.3", EXPOSITION_TEXT},
        {"*/*;q=0", EXPOSITION_TEXT},
        {OM ";q=0.0009, " TEXT ";q=0", EXPOSITION_TEXT}, // four decimals are no quality
        {OM ";q=nan, " TEXT ";q=0.1", EXPOSITION_TEXT},
        {OM ";q=1.5, " TEXT ";q=0.1", EXPOSITION_TEXT},
        {OM ";q = 0.9 , " TEXT ";q=0.8", EXPOSITION_OPENMETRICS},
        {"text/plain;a=\"," OM ";q=1,\";q=0.5", EXPOSITION_TEXT},
        {"\"", EXPOSITION_TEXT},
        {";;,,;=,=;q", EXPOSITION_TEXT},
        {"text/plain;a=\"\\", EXPOSITION_TEXT},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_expect_eq(exposition_form_of_accept(cases[i].accept), cases[i].form, "'%s'",
                     cases[i].accept ? cases[i].accept : "(none)");
}

Test(exposition_form, content_types)
{
    cr_assert_str_eq(exposition_content_type(EXPOSITION_TEXT),
                     "text/plain; version=0.0.4; charset=utf-8");
    cr_assert_str_eq(exposition_content_type(EXPOSITION_OPENMETRICS),
                     "application/openmetrics-text; version=1.0.0; charset=utf-8");
}
