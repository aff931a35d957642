#include "config/method.h"

#include <string.h>

#include "config/model.h"

unsigned method_bit_of(const char *method, size_t len)
{
    static const struct {
        const char *name;
        unsigned bit;
    } known[] = {
        {"GET", HTTP_GET},         {"POST", HTTP_POST},     {"HEAD", HTTP_HEAD},
        {"PUT", HTTP_PUT},         {"DELETE", HTTP_DELETE}, {"PATCH", HTTP_PATCH},
        {"OPTIONS", HTTP_OPTIONS},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strlen(known[i].name) == len && memcmp(method, known[i].name, len) == 0) {
            return known[i].bit;
        }
    }
    return HTTP_OTHER;
}
