# shellcheck shell=bash
# What every command of ./dev uses.

say() { printf '\033[1m==> %s\033[0m\n' "$*"; }
die() {
    printf 'dev: %s\n' "$*" >&2
    exit 1
}

# package_list GROUP...: the packages of these groups of packages.txt.
package_list() {
    local group
    for group in "$@"; do
        if [ "$group" = all ]; then
            grep -Ev '^(#|\[|$)' packages.txt
        else
            grep -qx "\[$group\]" packages.txt || die "packages.txt has no group [$group]"
            sed -n "/^\[$group\]\$/,/^\[/{/^[^#[]/p}" packages.txt
        fi
    done | sort -u
}

is_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "needs root for: $* (and there is no sudo here)"
    fi
}

# install_packages GROUP...: installs what is missing; without anything missing it needs no network
# and no root.
install_packages() {
    local package missing=()
    for package in $(package_list "$@"); do
        is_installed "$package" || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    say "Installing ${#missing[@]} Debian packages: ${missing[*]}"
    # Tests and benchmarks start their own programs: Debian's services shall not start now and take
    # ports (policy-rc.d, removed again; one that is there stays).
    # shellcheck disable=SC2016
    as_root bash -ec '
        policy=/usr/sbin/policy-rc.d
        if [ ! -e "$policy" ]; then
            trap "rm -f $policy" EXIT
            printf "#!/bin/sh\nexit 101\n" >"$policy"
            chmod 755 "$policy"
        fi
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends "$@" >/dev/null
    ' install "${missing[@]}"
}

# build_preset PRESET [TARGET...]: configures and builds into build/PRESET.
build_preset() {
    local preset=$1 home
    shift
    # A build folder that moved with its clone, or came from another one, is of no use to CMake.
    if [ -f "build/$preset/CMakeCache.txt" ]; then
        home=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "build/$preset/CMakeCache.txt")
        [ "$home" = "$ROOT" ] || rm -rf "build/$preset"
    fi
    mkdir -p build 2>/dev/null || true
    [ -w build ] || die "cannot write to $ROOT/build (whose is it? 'sudo chown -R $(id -un) build' mends that)"
    say "Building build/$preset"
    # Configured once; after that ninja runs CMake by itself where a list or a glob has changed. So a
    # build that is current is not touched: other tests use it at the same time.
    if [ ! -f "build/$preset/build.ninja" ] || [ CMakePresets.json -nt "build/$preset/build.ninja" ]; then
        quietly "build/$preset.configure.log" cmake --preset "$preset"
    fi
    quietly "build/$preset.build.log" cmake --build "build/$preset" ${1:+--target "$@"}
    give_back
}

# quietly LOG COMMAND...: its output only when it fails.
quietly() {
    local log=$1
    shift
    if ! "$@" >"$log" 2>&1; then
        grep -E -A8 'error|FAILED|Error' "$log" | head -100 >&2 || true
        tail -20 "$log" >&2
        die "failed: $* (all of it: $log)"
    fi
}

# What root builds under sudo belongs to who called sudo.
give_back() {
    if [ "$(id -u)" -eq 0 ] && [ "${SUDO_UID:-0}" -ne 0 ]; then
        chown -R --from=root "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" build
    fi
}

c_files() { find services shared examples tests proto tools -name '*.[ch]' | sort; }
shell_files() {
    printf '%s\n' dev .ci/run dev.d/*.sh
    find tests -name '*.sh'
}
