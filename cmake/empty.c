extern int valvechain_empty_library;
int valvechain_empty_library;
