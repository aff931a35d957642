"""The Prometheus text format as numbers, for assertions on counter deltas.

    before = suite.metrics()
    ...
    delta = suite.metrics() - before
    assert delta.sum("valvechain_http_requests_total", code="2xx") == 3
"""

import re

_LINE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|$)')


class Metrics(dict):
    """{(name, ((label, value), ...)): number}"""

    @classmethod
    def parse(cls, text):
        values = cls()
        types = {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ", 3)
                types[name] = kind
            if not line or line.startswith("#"):
                continue
            match = _LINE.match(line)
            assert match, f"not a line of the text format: {line!r}"
            name, labels, value = match.groups()
            pairs = tuple(sorted(_LABEL.findall(labels or "")))
            assert (name, pairs) not in values, f"series twice: {line!r}"
            values[(name, pairs)] = float(value)
        values.types = types
        return values

    types = {}

    def sum(self, name, **labels):
        """All series of the name that carry these labels, added up."""
        wanted = {(key, str(value)) for key, value in labels.items()}
        return sum(value for (series, pairs), value in self.items()
                   if series == name and wanted <= set(pairs))

    def has(self, name):
        return any(series == name for series, _ in self)

    def __sub__(self, earlier):
        difference = Metrics({key: value - earlier.get(key, 0.0) for key, value in self.items()})
        difference.types = self.types
        return difference

    def counters(self):
        """Only what may never go down."""
        kinds = self.types

        def is_counter(name):
            if kinds.get(name) == "counter":
                return True
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            return base != name and kinds.get(base) == "histogram"

        found = Metrics({key: value for key, value in self.items() if is_counter(key[0])})
        found.types = kinds
        return found

    def shrunk_since(self, earlier):
        """Counters that went down or vanished since `earlier`: must be empty, always."""
        now = self.counters()
        return [(key, value, now.get(key)) for key, value in earlier.counters().items()
                if key not in now or now[key] < value]
