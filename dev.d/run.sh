# shellcheck shell=bash
# run: the whole suite in the foreground, with the demo backend unless UPSTREAM_URL names another.
# Nothing is restarted. Ctrl-C (or TERM, or the death of this script) stops every process; segment
# and sockets are removed.

RUN_PROCESSES=(limiter breaker metrics-agent scaler-advisor api-front)
declare -A RUN_PID=() # process name -> pid
RUN_STOP=0

cmd_run() {
    install_packages build run
    build_preset release programs
    run_environment
    RUN_DIR=build/run/$VALVECHAIN_NAME
    exec {RUN_CLOCK}<> <(:)
    mkdir -p "$RUN_DIR"
    give_back
    rm -f "$RUN_DIR"/*.log
    trap 'RUN_STOP=1' INT TERM HUP
    trap run_cleanup EXIT
    if [ -z "${UPSTREAM_URL:-}" ]; then
        run_demo
    fi
    say "Starting suite '$VALVECHAIN_NAME'"
    local process
    for process in "${RUN_PROCESSES[@]}"; do
        run_start "$process" "build/release/bin/valvechain-$process"
    done
    run_await_ready
    [ "$RUN_STOP" -ne 0 ] || run_explain
    run_watch
}

# Development defaults; whatever the environment says wins.
run_environment() {
    export VALVECHAIN_NAME=${VALVECHAIN_NAME:-valvechain}
    [[ $VALVECHAIN_NAME =~ ^[A-Za-z0-9][A-Za-z0-9_-]*$ ]] || die "VALVECHAIN_NAME: letters, digits, - and _, not '$VALVECHAIN_NAME'"
    export NODE_ENV=${NODE_ENV:-development}
    RUN_SHM_DIR=${SHM_DIR:-/dev/shm}
    run_refuse_second
    if [ -n "${PORT:-}" ]; then
        ! is_listening "$PORT" || die "PORT=$PORT is taken by another program"
    else
        PORT=$(free_port 3000)
        [ "$PORT" = 3000 ] || say "Port 3000 is taken: using $PORT (PORT=... chooses another)"
    fi
    export PORT
    export METRICS_LISTEN=${METRICS_LISTEN:-127.0.0.1:$(free_port 9464)}
    local host=${LISTEN_ADDRESS:-127.0.0.1}
    case $host in
    0.0.0.0 | ::) host=127.0.0.1 ;;
    *:*) host=[$host] ;;
    esac
    RUN_URL=http://$host:$PORT
    [ -z "${TLS_CERT:-}" ] || RUN_URL=https://$host:$PORT
    RUN_SYSTEM_URL=$RUN_URL
    [ -z "${ADMIN_PORT:-}" ] || RUN_SYSTEM_URL=http://$host:$ADMIN_PORT
}

# A live suite of this name (from another clone, a container, systemd) holds locks on its segment.
run_refuse_second() {
    local file
    for file in "$RUN_SHM_DIR/$VALVECHAIN_NAME".[0-9]*; do
        [ -e "$file" ] || continue
        ! grep -q "OFDLCK .*:$(stat -c %i "$file") " /proc/locks 2>/dev/null ||
            die "a suite named $VALVECHAIN_NAME runs on this machine already ($file is held); VALVECHAIN_NAME=other ./dev run starts a second one"
    done
}

is_listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_port() {
    local port=$1
    while is_listening "$port"; do port=$((port + 1)); done
    echo "$port"
}

# run_start NAME COMMAND...: in the background, log in RUN_DIR/NAME.log; TERMed if this script dies.
run_start() {
    local name=$1
    shift
    # A group of its own: Ctrl-C reaches this script alone, which stops all in order.
    setsid setpriv --pdeathsig TERM "$@" >"$RUN_DIR/$name.log" 2>&1 </dev/null {RUN_CLOCK}>&- &
    RUN_PID[$name]=$!
}

run_demo() {
    say "Starting the demo backend (UPSTREAM_URL=http://... puts your own program there)"
    run_start demo-backend build/release/bin/demo-backend --control "$(free_port 3900)"
    local line="" tries=0 name port
    until line=$(grep -s ' ready$' "$RUN_DIR/demo-backend.log"); do
        if [ $((tries += 1)) -gt 100 ] || ! kill -0 "${RUN_PID[demo-backend]}" 2>/dev/null; then
            die "the demo backend did not start: $(cat "$RUN_DIR/demo-backend.log")"
        fi
        run_pause 0.1
    done
    local -A ports=()
    for name in ${line% ready}; do
        port=${name#*=}
        ports[${name%%=*}]=$port
    done
    export UPSTREAM_URL=http://127.0.0.1:${ports[app]}
    export DATABASE_UPSTREAM_URL=${DATABASE_UPSTREAM_URL:-http://127.0.0.1:${ports[database]}}
    export BLOCKCHAIN_UPSTREAM_URL=${BLOCKCHAIN_UPSTREAM_URL:-http://127.0.0.1:${ports[blockchain]}}
    export EMAIL_UPSTREAM_URL=${EMAIL_UPSTREAM_URL:-http://127.0.0.1:${ports[email]}}
    # So that a breaker opens and closes while one watches.
    export CB_VOLUME_THRESHOLD=${CB_VOLUME_THRESHOLD:-5}
    export CB_RESET_TIMEOUT=${CB_RESET_TIMEOUT:-5000}
    RUN_KNOBS=http://127.0.0.1:${ports[control]}/knobs
}

# Waits on a pipe that never speaks: a sleep that starts no process.
run_pause() { read -r -t "$1" -u "$RUN_CLOCK" || true; }

# By the gateway's own word, not by asking it: ADMIN_PORT, LISTEN_ADDRESS, SYSTEM_ALLOW and the
# READINESS_ENDPOINT may keep us from asking. Its log does not say it when LOG_LEVEL is warn or error,
# the segment does not when ALLOW_PRIVATE_SEGMENT let it serve without.
run_await_ready() {
    local tries=0
    until run_is_ready; do
        [ "$RUN_STOP" -eq 0 ] || return 0
        kill -0 "${RUN_PID[api-front]}" 2>/dev/null ||
            die "api-front ended: $(tail -5 "$RUN_DIR/api-front.log")"
        [ $((tries += 1)) -lt 300 ] || die "not ready after 30 s; logs: $RUN_DIR/*.log"
        run_pause 0.1
    done
}

run_is_ready() {
    grep -qs '"event":"process.ready"' "$RUN_DIR/api-front.log" ||
        build/release/bin/valvectl status 2>/dev/null | grep -q '^api-front .* ready '
}

run_explain() {
    say "Ready after ${SECONDS} s"
    cat <<TEXT

  gateway         $RUN_URL      (pid ${RUN_PID[api-front]})
  in front of     $UPSTREAM_URL
TEXT
    if [ -n "${RUN_KNOBS:-}" ]; then
        cat <<TEXT
                  database   /api/db/    $DATABASE_UPSTREAM_URL
                  blockchain /api/chain  $BLOCKCHAIN_UPSTREAM_URL
                  email      /api/email  $EMAIL_UPSTREAM_URL
  its knobs       $RUN_KNOBS
TEXT
    fi
    cat <<TEXT
  metrics-agent   http://$METRICS_LISTEN/metrics
  segment         $RUN_SHM_DIR/$VALVECHAIN_NAME.*
  logs            $RUN_DIR/*.log (api-front.log is the access log, too)
  look inside     $(run_ctl_environment)build/release/bin/valvectl status

Try, in another terminal:

TEXT
    if [ -n "${RUN_KNOBS:-}" ]; then run_explain_demo; else run_explain_own; fi
    cat <<TEXT

Ctrl-C stops all of it.
TEXT
}

# What valvectl needs to find this suite and not the default one.
run_ctl_environment() {
    [ "$VALVECHAIN_NAME" = valvechain ] || printf 'VALVECHAIN_NAME=%s ' "$VALVECHAIN_NAME"
    [ "$RUN_SHM_DIR" = /dev/shm ] || printf 'SHM_DIR=%s ' "$RUN_SHM_DIR"
}

run_explain_demo() {
    cat <<TEXT
# a request all the way through
curl -i $RUN_URL/api/app/hello
# a limit: a free caller has 100 requests in 15 minutes, the next 5 get 429
curl -s -o /dev/null -w '%{http_code}\n' -H 'X-API-Key: try-me' '$RUN_URL/api/app/hello?[1-105]' | sort | uniq -c
# a breaker: the database fails, 5 errors open it, then nobody bothers the database any more
curl -s -o /dev/null -X POST '$RUN_KNOBS/database?mode=fail'; curl -s -o /dev/null -w '%{http_code}\n' '$RUN_URL/api/db/users?[1-20]' | sort | uniq -c
# the database is well again: after 5 s one probe closes the breaker
curl -s -o /dev/null -X POST '$RUN_KNOBS/database?mode=ok'; curl -s --retry 10 --retry-delay 1 --retry-all-errors -f $RUN_URL/api/db/users; echo
# what it knows: health, metrics, breakers, limits, scaling
curl -s $RUN_SYSTEM_URL${HEALTH_CHECK_ENDPOINT:-/api/health}; echo
curl -s $RUN_SYSTEM_URL${METRICS_ENDPOINT:-/metrics} | grep -v '^#' | head -20
curl -s $RUN_SYSTEM_URL${CIRCUIT_BREAKER_STATS_ENDPOINT:-/api/circuit-breaker/stats}; echo
curl -s $RUN_SYSTEM_URL${RATE_LIMIT_STATS_ENDPOINT:-/api/rate-limit/stats}; echo
curl -s $RUN_SYSTEM_URL${AUTOSCALING_ENDPOINT:-/api/autoscaling/metrics}; echo
TEXT
}

run_explain_own() {
    cat <<TEXT
curl -i $RUN_URL/
curl -s -o /dev/null -w '%{http_code}\n' '$RUN_URL/?[1-105]' | sort | uniq -c
curl -s $RUN_SYSTEM_URL${HEALTH_CHECK_ENDPOINT:-/api/health}; echo
curl -s $RUN_SYSTEM_URL${METRICS_ENDPOINT:-/metrics} | grep -v '^#' | head -20
curl -s $RUN_SYSTEM_URL${AUTOSCALING_ENDPOINT:-/api/autoscaling/metrics}; echo
TEXT
}

# Until Ctrl-C, or until the gateway is gone. Who else ends is reported and not restarted: the suite
# goes on without it.
run_watch() {
    local name
    while [ "$RUN_STOP" -eq 0 ]; do
        for name in "${!RUN_PID[@]}"; do
            ! kill -0 "${RUN_PID[$name]}" 2>/dev/null || continue
            unset "RUN_PID[$name]"
            say "$name ended by itself: $RUN_DIR/$name.log"
            [ "$name" != api-front ] || return 1
        done
        # Not `wait -n`: it misses who ended before it was called.
        run_pause 0.3
    done
}

run_cleanup() {
    local code=$? name
    trap '' INT TERM HUP
    trap - EXIT
    if [ ${#RUN_PID[@]} -gt 0 ]; then
        say "Stopping"
        # The gateway first: it finishes what is in flight while everything is there.
        run_stop api-front
        for name in "${!RUN_PID[@]}"; do kill -TERM "${RUN_PID[$name]}" 2>/dev/null || true; done
        for name in "${!RUN_PID[@]}"; do run_stop "$name"; done
    fi
    rm -f "$RUN_SHM_DIR/$VALVECHAIN_NAME".[0-9]*
    run_remove_sockets
    give_back
    say "Stopped; the logs stay in $RUN_DIR"
    exit "$code"
}

# run_stop NAME: TERM, and KILL 5 s after a drain must be over.
run_stop() {
    local pid=${RUN_PID[$1]:-} tries=0
    [ -n "$pid" ] || return 0
    kill -TERM "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null; do
        if [ $((tries += 1)) -gt $(((${DRAIN_DELAY_MS:-5000} + ${DRAIN_TIMEOUT_MS:-30000} + 5000) / 100)) ]; then
            say "$1 did not stop in time: killed"
            kill -KILL "$pid" 2>/dev/null || true
        fi
        run_pause 0.1
    done
    unset "RUN_PID[$1]"
}

run_remove_sockets() {
    local dir
    for dir in "${SOCKET_DIR:-}" "/run/$VALVECHAIN_NAME" "${XDG_RUNTIME_DIR:-}/$VALVECHAIN_NAME" \
        "/tmp/$VALVECHAIN_NAME-$(id -u)"; do
        if [ -n "$dir" ] && [ -d "$dir" ]; then
            find "$dir" -maxdepth 1 \( -type s -o -name 'advice.state*' \) -delete 2>/dev/null || true
            rmdir "$dir" 2>/dev/null || true
        fi
    done
}
