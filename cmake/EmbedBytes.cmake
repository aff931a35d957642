# Writes the file FROM to TO as one initializer of struct page_file (shared/page/page.h).
get_filename_component(name "${FROM}" NAME)
get_filename_component(ending "${FROM}" LAST_EXT)
set(type_.html "text/html; charset=utf-8")
set(type_.css "text/css; charset=utf-8")
set(type_.js "text/javascript; charset=utf-8")
set(type_.svg "image/svg+xml")
if(NOT DEFINED type_${ending})
  message(FATAL_ERROR "${FROM}: no media type is known for ${ending}, add it to EmbedBytes.cmake")
endif()
file(READ "${FROM}" bytes HEX)
file(SIZE "${FROM}" len)
file(SHA256 "${FROM}" hash)
string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
string(SUBSTRING "${hash}" 0 20 hash)
file(WRITE "${TO}" "{.name = \"${name}\", .content_type = \"${type_${ending}}\", .len = ${len},
 .etag = \"\\\"${hash}\\\"\",
 .bytes = (const unsigned char[]){${bytes}}},
")
