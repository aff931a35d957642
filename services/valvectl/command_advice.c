// valvectl advice: the number, and every step that led to it.
#include <stdio.h>

#include "advice/published.h"
#include "base/clock.h"
#include "valvectl.h"

int command_advice(struct valvectl *ctl)
{
    struct segment *segment;
    struct advice advice;
    struct strbuf text = STRBUF_INIT;
    int result = valvectl_open_segment(ctl, &segment);
    if (result != VALVECTL_OK)
        return result;
    uint64_t now_ns = clock_mono_ns();
    bool there = advice_read(segment, &advice);
    bool fresh = advice_read_fresh(segment, now_ns, &advice);
    segment_close(&segment);
    if (!fresh) {
        (void)fprintf(stderr,
                      there ? "valvectl: the last advice is older than %d s: scaler-advisor does "
                              "not run\n"
                            : "valvectl: scaler-advisor has given no advice yet (it decides every "
                              "second; old advice ends after %d s)\n",
                      ADVICE_FRESH_S);
        return VALVECTL_FINDING;
    }
    if (ctl->json)
        advice_json(&advice, NULL, &text);
    else
        advice_text(&advice, &text);
    puts(strbuf_text(&text));
    strbuf_fini(&text);
    return advice.valid ? VALVECTL_OK : VALVECTL_FINDING;
}
