# Writes the lines of the file FROM as C string literals to TO; comment lines of Lua are left out.
file(READ "${FROM}" text)
string(REGEX REPLACE "(^|\n)--[^\n]*" "\\1" text "${text}")
string(REPLACE "\\" "\\\\" text "${text}")
string(REPLACE "\"" "\\\"" text "${text}")
string(REPLACE "\n" "\\n\"\n\"" text "${text}")
file(WRITE "${TO}" "\"${text}\"\n")
