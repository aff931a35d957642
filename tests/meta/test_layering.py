"""The rules of the tree that no compiler checks: who includes whom, sizes, faces, names in files."""

import os
import re

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SERVICES = ("api-front", "limiter", "breaker", "metrics-agent", "scaler-advisor", "valvectl")

# What each folder of shared/ may include, besides itself.
BELOW = {
    "base": set(),
    "config": {"base"},
    "shm": {"base"},
    "metric": {"shm", "base"},
    "history": {"shm", "base"},
    "limit": {"shm", "config", "base"},
    "breaker": {"shm", "config", "base"},
    "advice": {"shm", "config", "base"},
    "libvalvechain": {"breaker", "metric", "shm", "base"},  # what applications link
    "net": {"config", "shm", "base"},  # shm for the ABI number in socket names
    "service": {"net", "advice", "limit", "breaker", "history", "metric", "config", "shm", "base"},
    "page": {"service", "advice", "breaker", "metric", "shm", "base"},
}
WORDS_OF_THE_TREE = set(BELOW)


def sources(*folders, endings=(".c", ".h", ".inc", ".def")):
    for folder in folders:
        for directory, _, names in os.walk(os.path.join(ROOT, folder)):
            for name in sorted(names):
                if name.endswith(endings):
                    yield os.path.relpath(os.path.join(directory, name), ROOT)


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def includes(path):
    return re.findall(r'^\s*#\s*include\s+"([^"]+)"', read(path), re.M)


@pytest.mark.parametrize("library", sorted(BELOW))
def test_shared_libraries_look_down_only(library):
    wrong = []
    for path in sources(f"shared/{library}"):
        for name in includes(path):
            top = name.split("/")[0]
            if "/" in name and top in WORDS_OF_THE_TREE and top != library and top not in BELOW[library]:
                wrong.append(f"{path} includes {name}")
            if (top in SERVICES and top not in BELOW) or "services/" in name:
                wrong.append(f"{path} includes {name} of a service")
            if top == "valvechain" and library not in ("net", "service"):
                wrong.append(f"{path} includes messages ({name})")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("service", SERVICES)
def test_services_use_no_other_service(service):
    own = {os.path.basename(p) for p in sources(f"services/{service}")}
    others = {os.path.basename(p) for s in SERVICES if s != service for p in sources(f"services/{s}")}
    wrong = []
    for path in sources(f"services/{service}"):
        for name in includes(path):
            if "/" not in name and name not in own and name in others:
                wrong.append(f"{path} includes {name} of another service")
            if ".." in name or name.startswith("services/"):
                wrong.append(f"{path} includes {name} by a way around")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_the_same_faces(service):
    folder = os.path.join(ROOT, "services", service)
    stem = {"api-front": "front", "breaker": "breaker_service"}.get(service, service.replace("-", "_"))
    wanted = ["main.c", "README.md"]
    if service != "valvectl":
        wanted += ["params.def", "metrics.def", f"{stem}.c", f"{stem}.h"]
    missing = [name for name in wanted if not os.path.exists(os.path.join(folder, name))]
    assert not missing, f"services/{service} lacks {', '.join(missing)}"


@pytest.mark.parametrize("service", SERVICES)
def test_main_is_a_descriptor_and_a_call(service):
    lines = read(f"services/{service}/main.c").count("\n")
    assert lines <= 60, f"services/{service}/main.c has {lines} lines"


def test_files_stop_at_their_sizes():
    wrong = []
    for path in sources("services", "shared", "examples", "tests", endings=(".c", ".h")):
        limit = 200 if path.endswith(".h") else 700
        lines = read(path).count("\n")
        if lines > limit:
            wrong.append(f"{path}: {lines} lines, at most {limit}")
    assert not wrong, "\n".join(wrong)


def test_functions_stop_at_sixty_lines():
    wrong = []
    for path in sources("services", "shared", "examples", endings=(".c",)):
        start = None
        for number, line in enumerate(read(path).split("\n"), 1):
            if line == "{":
                start = number
            elif line == "}" and start is not None:
                if number - start - 1 > 60:
                    wrong.append(f"{path}:{start}: {number - start - 1} lines")
                start = None
    assert not wrong, "\n".join(wrong)


def test_words_we_do_not_use_in_names():
    # A libuv handle is a noun; to handle, to manage and to do say nothing.
    bad = re.compile(r"^\w[\w \*]*?\b(\w*(?:manage|util|helper|misc)\w*|(?:\w+_)?(?:handle(?!_closed|s?\b)|do)_\w+)\(", re.M)
    wrong = []
    for path in sources("services", "shared", "examples", endings=(".c", ".h")):
        for match in bad.finditer(read(path)):
            wrong.append(f"{path}: {match.group(1)}")
    assert not wrong, "\n".join(wrong)


def test_nothing_is_left_for_later():
    mark = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|\w*(?<!SECRET_)PLACE" + r"HOLDER)\b")
    paths = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
    paths += sources("services", "shared", "examples", "proto", "tests", "docs",
                     endings=(".c", ".h", ".py", ".md", ".def", ".sh", ".proto"))
    wrong = [f"{path}: {found.group()}" for path in paths if (found := mark.search(read(path)))]
    assert not wrong, "\n".join(wrong)


def parameter_names():
    names = set()
    for path in sources("shared/config/params", "services", endings=(".def",)):
        if "params" in path:
            names |= set(re.findall(r"^PARAM_\w+\((\w+),", read(path), re.M))
    return names


def test_no_parameter_is_said_twice_within_a_process():
    shared = {}
    for path in sources("shared/config/params", endings=(".def",)):
        for name in re.findall(r"^PARAM_\w+\((\w+),", read(path), re.M):
            assert name not in shared, f"{name} in {path} and in {shared[name]}"
            shared[name] = path
    for service in SERVICES:
        path = f"services/{service}/params.def"
        if os.path.exists(os.path.join(ROOT, path)):
            for name in re.findall(r"^PARAM_\w+\((\w+),", read(path), re.M):
                assert name not in shared, f"{name} in {path} and in {shared[name]}"


# Words in capitals with an underscore that are no parameters of ours.
OTHERS = {"NOTIFY_SOCKET", "XDG_RUNTIME_DIR", "SO_REUSEPORT", "READY", "CREDENTIALS_DIRECTORY",
          "VALVECHAIN_ENV", "VALVECHAIN_BUILD", "LISTEN_FDS", "NAME_FILE"}


def test_files_name_only_parameters_that_exist():
    names = parameter_names()
    wrong = []
    for path in ("README.md", "CONTRIBUTING.md"):
        for word in re.findall(r"\b([A-Z][A-Z0-9]*_[A-Z0-9_]+)=", read(path)):
            if word not in names | OTHERS:
                wrong.append(f"{path}: {word}")
    for path in sources("systemd", "docker", "k8s", "examples", endings=("",)):
        for word in re.findall(r"\b([A-Z][A-Z0-9]*_[A-Z0-9_]+)=", read(path)):
            if word not in names | OTHERS and not path.endswith((".c", ".h", ".txt")):
                wrong.append(f"{path}: {word}")
    assert not wrong, "\n".join(wrong)


def test_spec_variables_exist_with_their_defaults():
    """The specification's complete list; where we decided otherwise the row says so."""
    wanted = {
        "NODE_ENV": "production", "PORT": "3000",
        "CPU_SCALE_UP_THRESHOLD": "70", "CPU_SCALE_DOWN_THRESHOLD": "30", "CPU_EVALUATION_PERIOD": "300",
        "RPS_SCALE_UP_THRESHOLD": "100", "RPS_SCALE_DOWN_THRESHOLD": "20", "RPS_EVALUATION_PERIOD": "300",
        "MIN_INSTANCES": "1", "MAX_INSTANCES": "10", "COOLDOWN_PERIOD": "300",
        "GLOBAL_RATE_WINDOW": "900000", "GLOBAL_RATE_MAX": "1000", "AUTH_RATE_WINDOW": "900000",
        "AUTH_RATE_MAX": "UNSET",  # unset: 3 in production, 20 in development
        "REDIS_ENABLED": "false", "REDIS_HOST": "localhost", "REDIS_PORT": "6379", "REDIS_PASSWORD": "",
        "REDIS_DB": "0", "REGIONAL_RATE_LIMITING": "false",
        "CIRCUIT_BREAKERS": "true", "CB_TIMEOUT": "3000", "CB_ERROR_THRESHOLD": "50",
        "CB_RESET_TIMEOUT": "30000", "CB_ROLLING_TIMEOUT": "10000", "CB_ROLLING_BUCKETS": "10",
        "CB_CAPACITY": "10",
        "METRICS_ENABLED": "true", "HEALTH_CHECK_ENABLED": "true", "METRICS_ENDPOINT": "/metrics",
        "HEALTH_CHECK_ENDPOINT": "/api/health", "SLOW_REQUEST_THRESHOLD": "1000",
        "ENABLE_REQUEST_LOGGING": "true",
        "JWT_SECRET": "",  # no working default
        "ADVANCED_RATE_LIMITING": "true", "METRICS_COLLECTION": "true", "REGIONAL_SCALING": "false",
    }
    found = {}
    for path in sources("shared/config/params", "services", endings=(".def",)):
        for name, default in re.findall(r'^PARAM_\w+\((\w+), \w+, ("[^"]*"|[^,]+),', read(path), re.M):
            found[name] = default.strip('"')
    wrong = [f"{name}: {found.get(name, 'missing')}, wanted {default}" for name, default in wanted.items()
             if name not in found or (default is not None and found[name] != default)]
    assert not wrong, "\n".join(wrong)
