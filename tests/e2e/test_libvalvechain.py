"""libvalvechain as an application has it: installed, found by pkg-config, linked, and a real PostgreSQL
whose queries it guards."""

import os
import re
import shutil
import subprocess

import pytest

from support.postgres import Postgres, why_no_postgres
from support.suite import BUILD, ROOT, kept_environment
from support.wait import wait_for

LIBRARY = os.path.join(ROOT, "shared", "libvalvechain")
HAVE_LIBPQ = subprocess.run(["pkg-config", "--exists", "libpq"], check=False).returncode == 0


def cached(name):
    with open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8") as file:
        found = re.search(rf"^{name}:\w+=(.*)$", file.read(), re.M)
    return found[1] if found else ""


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def symbols():
    with open(os.path.join(LIBRARY, "symbols.txt"), encoding="ascii") as file:
        return set(file.read().split())


@pytest.fixture(scope="module", name="prefix")
def installed(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("prefix")
    run("cmake", "--install", BUILD, "--component", "libvalvechain", "--prefix", str(prefix))
    return str(prefix)


def pkg_config(prefix, *args):
    path = os.path.join(prefix, cached("CMAKE_INSTALL_LIBDIR"), "pkgconfig")
    return run("pkg-config", *args, env={**os.environ, "PKG_CONFIG_PATH": path}).split()


def compile_example(prefix, program, *flags):
    source = os.path.join(ROOT, "examples", "postgres-guard", "postgres-guard.c")
    sanitize = cached("VALVECHAIN_SANITIZE")
    run(cached("CMAKE_C_COMPILER"), "-std=c11", "-Wall", "-Wextra", "-Werror",
        *([f"-fsanitize={sanitize}"] if sanitize else []), source, "-o", program, *flags)


def test_what_is_installed(tmp_path, prefix):
    run("cmake", "--install", BUILD, "--component", "libvalvechain", env={**os.environ, "DESTDIR": str(tmp_path)})
    root = os.path.join(str(tmp_path), cached("CMAKE_INSTALL_PREFIX").lstrip("/"))
    for top in (root, prefix):
        found = {os.path.relpath(os.path.join(folder, name), top)
                 for folder, _, names in os.walk(top) for name in names}
        wanted = {"include/valvechain/valvechain.h", "lib/libvalvechain.so", "lib/libvalvechain.so.1",
                  "lib/libvalvechain.so.1.0.0", "lib/libvalvechain.a", "lib/pkgconfig/valvechain.pc",
                  *(f"share/man/man3/{name}.3" for name in symbols() | {"libvalvechain"})}
        assert found == wanted
    assert os.readlink(os.path.join(prefix, "lib", "libvalvechain.so.1")) == "libvalvechain.so.1.0.0"


def exported(*arguments):
    lines = [line.split() for line in run("nm", "--defined-only", *arguments).splitlines() if len(line.split()) == 3]
    return {name.partition("@")[0] for _, kind, name in lines if kind != "A"}


def test_the_public_symbols_are_those_of_the_list_and_no_other(prefix):
    shared, static = (os.path.join(prefix, "lib", f"libvalvechain.{end}") for end in ("so", "a"))
    assert exported("-D", shared) == symbols()
    with open(os.path.join(prefix, "include", "valvechain", "valvechain.h"), encoding="utf-8") as file:
        assert set(re.findall(r"\b(valvechain_\w+)\(", re.sub(r"//.*", "", file.read()))) == symbols()
    about = run("objdump", "-p", shared)
    assert re.search(r"SONAME\s+libvalvechain\.so\.1\n", about) and "VALVECHAIN_1" in about
    if not cached("VALVECHAIN_SANITIZE"):
        assert set(re.findall(r"NEEDED\s+(\S+)", about)) <= {"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2"}
        assert exported("-g", static) == symbols()


def test_the_header_is_cplusplus_too(tmp_path, prefix):
    if shutil.which("c++") is None:
        pytest.skip("no C++ compiler is installed")
    source = tmp_path / "a.cc"
    source.write_text("#include <valvechain/valvechain.h>\nint main() { return valvechain_refusal(0) != nullptr; }\n")
    run("c++", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", str(source), *pkg_config(prefix, "--cflags", "valvechain"))


class Guard:
    """The example: a query in, a line out."""

    def __init__(self, program, prefix, suite, conninfo):
        env = {**kept_environment(), "VALVECHAIN_NAME": suite.name, "SHM_DIR": suite.shm_dir,
               "LD_LIBRARY_PATH": os.path.join(prefix, "lib")}
        self.child = subprocess.Popen([program, conninfo], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True, bufsize=1, env=env)

    def send(self, sql):
        self.child.stdin.write(f"{sql}\n")
        self.child.stdin.flush()

    def read(self):
        line = self.child.stdout.readline()
        assert line, self.child.stderr.read()
        return line.split()

    def ask(self, sql="SELECT 1"):
        self.send(sql)
        return self.read()

    def end(self):
        _, errors = self.child.communicate(timeout=60)
        assert (self.child.returncode, errors) == (0, "")


@pytest.fixture(scope="module", name="database")
def a_database():
    postgres = Postgres()
    try:
        yield postgres.start()
    finally:
        postgres.close()


def breaker(suite):
    return suite.get("/api/circuit-breaker/stats").json()["circuitBreakers"]["database"]


@pytest.mark.skipif(why_no_postgres() != "", reason=why_no_postgres() or "-")
@pytest.mark.skipif(not HAVE_LIBPQ, reason="libpq's header is not installed (packages.txt: libpq-dev)")
@pytest.mark.parametrize("kind", ["shared", "static"])
def test_a_real_database_is_guarded(tmp_path, prefix, make_suite, database, kind):
    program = str(tmp_path / "postgres-guard")
    flags = pkg_config(prefix, "--cflags", "--libs", "valvechain", "libpq")
    if kind == "static":
        flags = [os.path.join(prefix, "lib", "libvalvechain.a") if f == "-lvalvechain" else f for f in flags] + ["-lm"]
    compile_example(prefix, program, *flags)
    suite = make_suite(processes=("breaker", "api-front"), env={
        "CB_VOLUME_THRESHOLD": 4, "CB_RESET_TIMEOUT": 500, "CB_RESET_BACKOFF": 100})
    guard = Guard(program, prefix, suite, database.conninfo)
    assert guard.ask() == ["ok", "1"]
    assert guard.ask("SELECT FROM nowhere")[0] == "failed"
    assert breaker(suite)["window"]["failures"] == 0, "a mistake of the caller's is not the database's"
    guard.send("SELECT pg_sleep(1)")
    wait_for(lambda: suite.metrics().sum("valvechain_database_connections") == 1, 20, "the query to be under way")
    assert breaker(suite)["inFlight"] == 1
    assert guard.read() == ["ok", "1"]
    # The gauge is brought up to date by the breaker process, a moment later.
    wait_for(lambda: suite.metrics().sum("valvechain_database_connections") == 0, 20, "no query to be under way")
    figures = suite.metrics()
    assert figures.sum("valvechain_database_query_duration_seconds_count") == 2
    assert 1 <= figures.sum("valvechain_database_query_duration_seconds_sum") < 30
    assert "app-postgres-guard" in {p["name"] for p in suite.get("/api/health").json()["processes"]}

    database.stop()
    answers = [guard.ask() for _ in range(6)]
    assert answers[0][0] == "failed" and answers[-1][:2] == ["refused", "open"] and 0 < int(answers[-1][2]) <= 501
    opened = suite["breaker"].wait_event("breaker.changed", where=lambda e: e["to"] == "OPEN")
    assert (opened["breaker"], opened["rule"]) == ("database", "error-rate") and opened["failures"] >= 2
    assert breaker(suite)["totals"]["refusedOpen"] >= 1

    database.start()
    wait_for(lambda: guard.ask()[0] == "ok", 60, "the application's query to be admitted and answered")
    closed = suite["breaker"].wait_event("breaker.changed", where=lambda e: e["to"] == "CLOSED")
    assert (closed["from"], closed["rule"], closed["successes"]) == ("HALF-OPEN", "probes", 1)
    assert breaker(suite)["state"] == "CLOSED" and breaker(suite)["totals"]["probes"] >= 1
    guard.end()


def test_without_a_suite_it_says_so(tmp_path, prefix):
    if not HAVE_LIBPQ:
        pytest.skip("libpq's header is not installed (packages.txt: libpq-dev)")
    program = str(tmp_path / "postgres-guard")
    compile_example(prefix, program, *pkg_config(prefix, "--cflags", "--libs", "valvechain", "libpq"))
    done = subprocess.run([program, "host=/nowhere"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                          check=False, env={**kept_environment(), "VALVECHAIN_NAME": f"vctest-none-{os.getpid()}",
                                            "LD_LIBRARY_PATH": os.path.join(prefix, "lib")})
    assert done.returncode == 1 and "no such segment" in done.stderr
