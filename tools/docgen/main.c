// Writes the generated pages into a folder, or with --check says which of them are not current.
// Exit code: 0, 1: a page is not current, 2: something failed.
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config/file.h"
#include "pages.h"

#define PAGE_MAX_BYTES (4 * 1024 * 1024)

static const struct {
    const char *file;
    int (*write)(struct strbuf *out);
} pages[] = {
#define PAGE(file, function) {file, function},
#include "pages.def"
#undef PAGE
};

static int write_page(const char *path, const struct strbuf *page)
{
    FILE *file = fopen(path, "we");
    if (!file)
        return -errno;
    size_t written = fwrite(page->text, 1, page->len, file);
    return fclose(file) == 0 && written == page->len ? 0 : -EIO;
}

// 1 when the file does not hold the page.
static int check_page(const char *path, const struct strbuf *page)
{
    struct strbuf found = STRBUF_INIT;
    int r = file_read(path, PAGE_MAX_BYTES, &found);
    if (r == 0 || r == -ENOENT)
        r = found.len == page->len && memcmp(strbuf_text(&found), page->text, page->len) == 0 ? 0
                                                                                              : 1;
    strbuf_fini(&found);
    return r;
}

int main(int argc, char **argv)
{
    bool check = argc == 3 && strcmp(argv[1], "--check") == 0;
    int result = 0;
    if (argc != 2 && !check) {
        fprintf(stderr, "usage: %s [--check] FOLDER\n", argv[0]);
        return 2;
    }
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        struct strbuf page = STRBUF_INIT;
        char path[4096];
        snprintf(path, sizeof(path), "%s/%s", argv[argc - 1], pages[i].file);
        int r = pages[i].write(&page);
        if (r == 0 && (!strbuf_ok(&page) || page.len == 0))
            r = -ENOMEM;
        if (r == 0)
            r = check ? check_page(path, &page) : write_page(path, &page);
        if (r < 0)
            fprintf(stderr, "%s: %s\n", path, strerror(-r));
        else if (r > 0)
            fprintf(stderr, "%s is not current: run ./dev docs and commit it\n", path);
        if (r != 0 && result != 2)
            result = r > 0 ? 1 : 2;
        strbuf_fini(&page);
    }
    return result;
}
