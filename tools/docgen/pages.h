// The generated pages of docs/, each written by one function. A new page is one row in pages.def.
#ifndef VALVECHAIN_TOOLS_DOCGEN_PAGES_H
#define VALVECHAIN_TOOLS_DOCGEN_PAGES_H

#include "base/strbuf.h"

#define PAGE(file, function) int function(struct strbuf *out); // 0 or -errno
#include "pages.def"
#undef PAGE

#endif
