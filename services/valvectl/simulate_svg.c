#include <math.h>

#include "simulate.h"

#define WIDTH  960
#define HEIGHT 380
#define LEFT   48
#define RIGHT  16
#define TOP    16
#define BOTTOM 72

struct plot {
    FILE *out;
    const struct simulate_report *report;
    double first_s, last_s, most; // of the axes
};

// Told apart without colour, too: each has its own dashes.
static const char *const colours[] = {"#0b6e99", "#b3541e", "#5b7f1d", "#7a4fa3", "#a61e4d",
                                      "#1f7a5c", "#5c5f66", "#8f6b00", "#2f4b8f"};
static const char *const dashes[] = {"none", "7 3", "2 2",     "9 3 2 3", "4 4",
                                     "12 3", "1 3", "6 2 1 2", "3 6"};

static double x_of(const struct plot *plot, double time_s)
{
    return LEFT +
           (WIDTH - LEFT - RIGHT) * (time_s - plot->first_s) / (plot->last_s - plot->first_s);
}

static double y_of(const struct plot *plot, double instances)
{
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * instances / plot->most;
}

// What the load needs at the target, in instances.
static double needed(const struct plot *plot, size_t i)
{
    double load = plot->report->trace->samples[i].values[TRACE_CPU];
    return isnan(load) ? 0 : load / plot->report->model->over_percent;
}

static void find_axes(struct plot *plot)
{
    const struct trace *trace = plot->report->trace;
    plot->first_s = trace->samples[0].values[TRACE_TIME];
    plot->last_s = trace->samples[trace->n - 1].values[TRACE_TIME];
    plot->most = 1;
    for (size_t i = 0; i < trace->n; i++)
        plot->most = fmax(plot->most, needed(plot, i));
    for (size_t i = 0; i < plot->report->n_runs; i++)
        plot->most = fmax(plot->most, plot->report->runs[i].result.most);
}

static void write_escaped(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '<' || *text == '&' || *text == '>' || *text == '"')
            fprintf(out, "&#%d;", *text);
        else
            fputc(*text, out);
    }
}

static void draw_axes(const struct plot *plot)
{
    double step = pow(10, floor(log10(plot->most)));
    if (plot->most / step < 3)
        step /= 2;
    step = fmax(1, step);
    for (int i = 0; i * step <= plot->most; i++) {
        double at = i * step;
        fprintf(plot->out,
                "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
                "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.0f</text>\n",
                LEFT, WIDTH - RIGHT, y_of(plot, at), y_of(plot, at), LEFT - 6, y_of(plot, at) + 4,
                at);
    }
    for (int i = 0; i <= 8; i++) {
        double time_s = plot->first_s + (plot->last_s - plot->first_s) * i / 8;
        fprintf(plot->out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.2f h</text>\n",
                x_of(plot, time_s), HEIGHT - BOTTOM + 18, (time_s - plot->first_s) / 3600);
    }
}

static void draw_load(const struct plot *plot)
{
    const struct trace *trace = plot->report->trace;
    fprintf(plot->out, "<path class=\"load\" d=\"M%.1f %.1f", x_of(plot, plot->first_s),
            y_of(plot, 0));
    for (size_t i = 0; i < trace->n; i++)
        fprintf(plot->out, "L%.1f %.1f", x_of(plot, trace->samples[i].values[TRACE_TIME]),
                y_of(plot, needed(plot, i)));
    fprintf(plot->out, "L%.1f %.1fZ\"/>\n", x_of(plot, plot->last_s), y_of(plot, 0));
}

// Only the corners: a day is a few hundred bytes.
static void draw_run(const struct plot *plot, size_t number)
{
    const struct trace *trace = plot->report->trace;
    const struct simulated *run = &plot->report->runs[number];
    uint32_t before = run->result.instances[0];
    fprintf(plot->out, "<path class=\"run\" stroke=\"%s\" stroke-dasharray=\"%s\" d=\"M%.1f %.1f",
            colours[number], dashes[number], x_of(plot, plot->first_s), y_of(plot, before));
    for (size_t i = 1; i < trace->n; i++) {
        uint32_t now = run->result.instances[i];
        if (now == before)
            continue;
        fprintf(plot->out, "H%.1fV%.1f", x_of(plot, trace->samples[i].values[TRACE_TIME]),
                y_of(plot, now));
        before = now;
    }
    fprintf(plot->out, "H%.1f\"><title>", x_of(plot, plot->last_s));
    write_escaped(plot->out, run->name);
    fputs("</title></path>\n", plot->out);
}

static void draw_legend(const struct plot *plot)
{
    for (size_t i = 0; i < plot->report->n_runs; i++) {
        int x = LEFT + (int)(i % 5) * 180, y = HEIGHT - 30 + (int)(i / 5) * 18;
        fprintf(plot->out,
                "<path class=\"run\" stroke=\"%s\" stroke-dasharray=\"%s\" d=\"M%d %dh28\"/>"
                "<text x=\"%d\" y=\"%d\">",
                colours[i], dashes[i], x, y - 4, x + 34, y);
        write_escaped(plot->out, plot->report->runs[i].name);
        fputs("</text>\n", plot->out);
    }
}

void simulate_print_svg(const struct simulate_report *report, FILE *out)
{
    struct plot plot = {.out = out, .report = report};
    find_axes(&plot);
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\" "
            "font-family=\"sans-serif\" font-size=\"12\">\n<title>",
            WIDTH, HEIGHT);
    write_escaped(out, report->trace_name);
    fprintf(out,
            ": instances over time; shaded: what the load needs at %.0f %% CPU</title>\n"
            "<style>.grid{stroke:#ccc}.load{fill:#ddd}.run{fill:none;stroke-width:1.6}</style>\n"
            "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n",
            report->model->over_percent, WIDTH, HEIGHT);
    draw_load(&plot);
    draw_axes(&plot);
    for (size_t i = 0; i < report->n_runs; i++)
        draw_run(&plot, i);
    draw_legend(&plot);
    fputs("</svg>\n", out);
}
