"""The generated pages of docs/ are what the rows say now, and the example in them is valid."""

import json
import os
import re
import subprocess

from support.suite import ROOT, binary

DOCS = os.path.join(ROOT, "docs")


def docgen(*arguments):
    return subprocess.run([binary("docgen"), *arguments], capture_output=True, text=True,
                          timeout=30, check=False)


def test_pages_are_current():
    run = docgen("--check", DOCS)
    assert run.returncode == 0, run.stderr


def test_a_page_that_is_not_current_is_named(tmp_path):
    assert docgen(str(tmp_path)).returncode == 0
    assert docgen("--check", str(tmp_path)).returncode == 0
    page = tmp_path / "configuration.md"
    page.write_text(page.read_text().replace("GLOBAL_RATE_MAX", "GLOBAL_RATE_MAXX", 1))
    (tmp_path / "config.schema.json").unlink()
    run = docgen("--check", str(tmp_path))
    assert run.returncode == 1
    assert "configuration.md is not current" in run.stderr
    assert "config.schema.json is not current" in run.stderr


def test_every_parameter_of_every_process_is_documented():
    with open(os.path.join(DOCS, "configuration.md"), encoding="utf-8") as file:
        page = file.read()
    missing = []
    for folder, _, names in os.walk(ROOT):
        if "build" in folder.split(os.sep):
            continue
        for name in names:
            if name.endswith(".def") and ("params" in name or folder.endswith("/params")):
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    missing += [row for row in re.findall(r"^PARAM_\w+\((\w+),", file.read(), re.M)
                                if f"| `{row}`" not in page]
    assert not missing, missing


def test_the_example_in_the_page_fits_the_schema():
    with open(os.path.join(DOCS, "configuration.md"), encoding="utf-8") as file:
        example = json.loads(re.search(r"```json\n(.*?)```", file.read(), re.S).group(1))
    with open(os.path.join(DOCS, "config.schema.json"), encoding="utf-8") as file:
        schema = json.load(file)
    fit(example, schema, schema, "$")


def fit(value, schema, root, path):
    """As much of JSON Schema as ours uses."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    wanted = schema.get("type")
    if wanted:
        wanted = wanted if isinstance(wanted, list) else [wanted]
        assert any(type(value) is kinds[kind] for kind in wanted), f"{path}: {value!r} is no {wanted}"
    if "enum" in schema:
        assert value in schema["enum"], f"{path}: {value!r}"
    if isinstance(value, str) and "pattern" in schema:
        assert re.search(schema["pattern"], value), f"{path}: {value!r} against {schema['pattern']}"
    if isinstance(value, int) and not isinstance(value, bool) and "minimum" in schema:
        assert schema["minimum"] <= value <= schema["maximum"], path
    if isinstance(value, list):
        assert schema.get("minItems", 0) <= len(value) <= schema["maxItems"], path
        for number, item in enumerate(value):
            fit(item, schema["items"], root, f"{path}[{number}]")
    if isinstance(value, dict):
        for key in schema.get("required", []):
            assert key in value, f"{path} lacks {key}"
        if "oneOf" in schema:
            assert sum(all(k in value for k in one["required"]) for one in schema["oneOf"]) == 1, path
        for key, item in value.items():
            if key in schema.get("properties", {}):
                fit(item, schema["properties"][key], root, f"{path}.{key}")
            else:
                assert schema["additionalProperties"] is not False, f"{path}.{key} is unknown"
                fit(key, schema.get("propertyNames", {}), root, f"{path}.{key}")
                fit(item, schema["additionalProperties"], root, f"{path}.{key}")
