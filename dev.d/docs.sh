# shellcheck shell=bash
# docs: writes the generated pages of docs/; docs --check: says which of them are not current.
cmd_docs() {
    install_packages build
    build_preset release valvechain-docgen
    if [ "${1:-}" = --check ]; then
        build/release/bin/valvechain-docgen --check docs
    else
        build/release/bin/valvechain-docgen docs
    fi
}
