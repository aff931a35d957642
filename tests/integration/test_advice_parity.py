"""shared/advice in its HPA mode against a second implementation, pod by pod, over random vectors."""

import math
import random
import subprocess

from support.suite import BUILD

SEQUENCES, STEPS = 1500, 12
UTILIZATION, AVERAGE, VALUE, TOTAL = range(4)


class Hpa:
    """One workload under an autoscaling/v2 HorizontalPodAutoscaler with a behavior."""

    def __init__(self, policy):
        self.policy = policy
        self.recommendations = []  # (time, replicas)
        self.events = []  # (time, change)

    def within(self, ratio):
        return 1 - self.policy["down_tolerance"] / 100 <= ratio <= 1 + self.policy["up_tolerance"] / 100

    def by_pods(self, form, target, pods, current):
        """pods: (state, usage, request) in thousandths; state ready, missing or unready."""
        metrics = {i: usage for i, (state, usage, _) in enumerate(pods) if state == "ready"}
        requests = [request for _, _, request in pods]
        missing = [i for i, pod in enumerate(pods) if pod[0] == "missing"]
        unready = [i for i, pod in enumerate(pods) if pod[0] == "unready"]

        def ratio():
            total = sum(metrics.values())
            if form == UTILIZATION:
                return (total * 100 // sum(requests[i] for i in metrics)) / (target / 1000)
            return (total // len(metrics)) / target

        if not metrics:
            return None
        first = ratio()
        grow_unready = bool(unready) and first > 1
        if not grow_unready and not missing:
            return current if self.within(first) else math.ceil(first * len(metrics))
        for i in missing:
            if first < 1:
                metrics[i] = requests[i] * max(100, target // 1000) // 100 if form == UTILIZATION else target
            elif first > 1:
                metrics[i] = 0
        if grow_unready:
            metrics.update(dict.fromkeys(unready, 0))
        again = ratio()
        if self.within(again) or (first < 1 < again) or (again < 1 < first):
            return current
        wanted = math.ceil(again * len(metrics))
        if (again < 1 and wanted > current) or (again > 1 and wanted < current):
            return current
        return wanted

    def by_metric(self, metric, current, ready):
        form, target, pods, total = metric
        if form in (UTILIZATION, AVERAGE):
            return self.by_pods(form, target, pods, current)
        if total is None:
            return None
        if form == VALUE:
            return current if self.within(total / target) else math.ceil(total / target * ready)
        return current if self.within(total / (target * current)) else math.ceil(total / target)

    def limit(self, direction, now, current):
        rules = self.policy[direction]
        if rules["select"] == "disabled":
            return current
        if not rules["rates"]:
            return math.inf if direction == "up" else 0
        proposals = []
        for unit, value, period in rules["rates"]:
            start = current - sum(change for time, change in self.events if time > now - period)
            if direction == "up":
                proposals.append(start + value if unit == "pods" else math.ceil(start * (1 + value / 100)))
            else:
                proposals.append(start - value if unit == "pods" else int(start * (1 - value / 100)))
        widest = max if direction == "up" else min
        pick = widest if rules["select"] == "max" else (min if direction == "up" else max)
        return max(current, pick(proposals)) if direction == "up" else min(current, pick(proposals))

    def decide(self, now, current, ready, metrics):
        low, high = self.policy["min"], self.policy["max"]
        if not self.recommendations:
            self.recommendations.append((now, current))
        if current > high or current < low:
            desired = min(max(current, low), high)
            self.events.append((now, desired - current))
            return desired, 1
        proposals = [self.by_metric(metric, current, ready) for metric in metrics]
        known = [proposal for proposal in proposals if proposal is not None]
        if not known or (len(known) < len(proposals) and max(known) < current):
            return current, 0
        raw = wanted = max(known)
        lowest = min([raw] + [r for t, r in self.recommendations if t > now - self.policy["up"]["window"]])
        highest = max([raw] + [r for t, r in self.recommendations if t > now - self.policy["down"]["window"]])
        wanted = min(max(current, lowest), highest)
        self.recommendations.append((now, raw))
        if wanted > current:
            wanted = min(wanted, high, self.limit("up", now, current))
        elif wanted < current:
            wanted = max(wanted, low, self.limit("down", now, current))
        self.events.append((now, wanted - current))
        return wanted, 1


def random_direction(rng, window):
    return {"window": rng.choice([0, 0, 30, 60, 300, 3600]) if window else rng.choice([0, 0, 60]),
            "select": rng.choice(["max", "max", "min", "disabled"] if rng.random() < 0.3 else ["max", "min"]),
            "rates": [(rng.choice(["pods", "percent"]), rng.randint(1, 150), rng.choice([15, 30, 60, 120, 1800]))
                      for _ in range(rng.randint(0, 3))]}


def random_pods(rng, n, target, form):
    scale = rng.choice([0.3, 0.85, 0.95, 1.0, 1.05, 1.15, 2.0])
    pods = []
    for _ in range(n):
        request = rng.choice([1, 2, 5]) * 1000
        ideal = request * target / 100_000 if form == UTILIZATION else target
        state = rng.choices(["ready", "missing", "unready"], [8, 1, 1])[0]
        pods.append((state, int(ideal * scale * rng.uniform(0.7, 1.3)), request))
    return pods


def random_metrics(rng, forms, targets, current):
    metrics = []
    for form, target in zip(forms, targets):
        if target == 0:
            continue
        total = int(target * (current if form == TOTAL else 1) * rng.uniform(0.2, 2.2))
        metrics.append((form, target, random_pods(rng, current, target, form),
                        None if rng.random() < 0.05 else total))
    return metrics


def line_of_policy(policy, forms, targets):
    words = ["N", policy["min"], policy["max"], policy["up_tolerance"], policy["down_tolerance"]]
    for direction in ("up", "down"):
        rules = policy[direction]
        words += [rules["window"], ["max", "min", "disabled"].index(rules["select"]), len(rules["rates"])]
        for unit, value, period in rules["rates"]:
            words += [int(unit == "percent"), value, period]
    for form, target in zip(forms, targets):
        words += [form, target]
    return " ".join(map(str, words))


def line_of_sample(now, current, ready, targets, metrics):
    words = ["S", now, current, ready]
    rest = iter(metrics)
    for target in targets:
        if target == 0:
            words += [0] * 8
            continue
        form, _, pods, total = next(rest)
        if form in (VALUE, TOTAL):
            words += [int(total is not None), 0, 0, 0, total or 0, 0, 0, 0]
            continue
        of = lambda state, index: [pod[index] for pod in pods if pod[0] == state]
        words += [1, len(of("ready", 1)), len(of("missing", 1)), len(of("unready", 1)), sum(of("ready", 1)),
                  sum(of("ready", 2)), sum(of("missing", 2)), sum(of("unready", 2))]
    return " ".join(map(str, words))


def test_random_vectors_have_the_same_answer_from_both():
    rng = random.Random(20261124)
    lines, wanted = [], []
    for _ in range(SEQUENCES):
        low = rng.randint(1, 4)
        policy = {"min": low, "max": low + rng.randint(0, 60), "up_tolerance": rng.choice([0, 5, 10, 20]),
                  "down_tolerance": rng.choice([0, 5, 10, 20]), "up": random_direction(rng, False),
                  "down": random_direction(rng, True)}
        forms = [UTILIZATION, UTILIZATION, AVERAGE, rng.choice([AVERAGE, TOTAL]), VALUE]
        targets = [rng.choice([0, t]) for t in (rng.randint(20, 130) * 1000, 80_000, rng.randint(1, 90_000),
                                                 rng.randint(1, 9_000), rng.randint(1000, 900_000))]
        if not any(targets):
            targets[2] = 15_000
        hpa, now, current = Hpa(policy), 100_000, rng.randint(1, 40)
        lines.append(line_of_policy(policy, forms, targets))
        for _ in range(STEPS):
            ready = rng.randint(0, current)
            metrics = random_metrics(rng, forms, targets, current)
            lines.append(line_of_sample(now, current, ready, targets, metrics))
            wanted.append(hpa.decide(now, current, ready, metrics))
            if rng.random() < 0.9:  # else nobody follows, or somebody else scales
                current = max(1, wanted[-1][0])
            else:
                current = rng.randint(1, 40)
            now += rng.choice([15, 15, 15, 30, 300])
    assert len(wanted) >= 10_000
    run = subprocess.run([f"{BUILD}/bin/advice_vectors"], input="\n".join(lines) + "\n", capture_output=True,
                         text=True, timeout=120)
    assert run.returncode == 0
    got = [tuple(map(int, line.split())) for line in run.stdout.splitlines()]
    wrong = [(i, a, b) for i, (a, b) in enumerate(zip(got, wanted)) if a != b]
    assert len(got) == len(wanted) and not wrong, (len(wrong), wrong[:10])
    valid = [answer for answer, valid in wanted if valid]
    assert len(valid) > len(wanted) * 0.7, "the vectors mostly decide something"
