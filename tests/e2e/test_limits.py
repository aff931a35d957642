"""Rate limits through the real gateway: who is counted as whom, and what the fields say."""

import json
import re
import time

import pytest

from support.wait import wait_for

from support.tokens import SECRET, bearer, token

FRONT = ("api-front",)
POLICY = re.compile(r'"([a-z0-9-]+)";q=(\d+);w=(\d+)')
STATE = re.compile(r'"([a-z0-9-]+)";r=(\d+);t=(\d+)')


def policies(answer):
    return {name: (int(q), int(w)) for name, q, w in POLICY.findall(answer.header("RateLimit-Policy") or "")}


def states(answer):
    return {name: (int(r), int(t)) for name, r, t in STATE.findall(answer.header("RateLimit") or "")}


def spend(suite, headers=(), target="/a", at_most=50):
    """How many requests pass until one is refused."""
    for passed in range(at_most):
        answer = suite.get(target, headers)
        if answer.status == 429:
            return passed
        assert answer.status == 200, answer
    return at_most


@pytest.fixture
def start(make_suite, upstream):
    def start(**env):
        env = {"UPSTREAM_URL": upstream.url, "TIER_FREE_MAX": 3, "TIER_PREMIUM_MAX": 6,
               "TIER_ENTERPRISE_MAX": 9, "GLOBAL_RATE_MAX": 1000, **env}
        return make_suite(processes=FRONT, env=env)

    return start


def test_a_free_caller_is_refused_with_fields_that_say_why_and_until_when(start, upstream):
    suite = start()
    before = suite.metrics()
    for left in (2, 1, 0):
        answer = suite.get("/a")
        assert answer.status == 200
        assert policies(answer)["tier-free"] == (3, 900)
        assert states(answer)["tier-free"][0] == left
        assert states(answer)["global"][0] > 900
    refused = suite.get("/a")
    assert refused.status == 429
    assert refused.header("Content-Type") == "application/problem+json"
    assert "no-store" in refused.header("Cache-Control")
    retry = int(refused.header("Retry-After"))
    assert 1 <= retry <= 900
    assert states(refused) == {"tier-free": (0, retry)}, "only what was violated"
    assert set(policies(refused)) == {"tier-free", "global"}
    problem = json.loads(refused.body)
    assert problem["status"] == 429
    assert problem["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert problem["violated-policies"] == ["tier-free"]
    assert (problem["limit"], problem["window"], problem["retry-after"]) == (3, 900, retry)
    assert problem["key"] == "client-address"
    assert len(upstream.requests) == 3, "a refused request never reaches the backend"
    delta = suite.metrics() - before
    assert delta.sum("valvechain_rate_limit_hits_total", tier="free", endpoint_type="api",
                     policy="tier-free") == 1
    assert delta.sum("valvechain_rate_limit_decisions_total", result="admitted") == 3
    assert delta.sum("valvechain_rate_limit_decisions_total", result="denied") == 1
    assert delta.sum("valvechain_http_requests_total", code="4xx") == 1


def test_retry_after_is_when_one_request_fits_again(start):
    suite = start(TIER_RATE_WINDOW=1000)
    assert spend(suite) == 3
    refused = suite.get("/a")
    told = time.monotonic() + int(refused.header("Retry-After"))
    wait_for(lambda: suite.get("/a").status == 200, 5, "a request that fits again")
    assert time.monotonic() <= told + 1.0, "Retry-After must not promise too early by much"


def test_each_client_address_has_its_own_allowance(start):
    suite = start()
    assert spend(suite, {"X-Forwarded-For": "203.0.113.1"}) == 3
    assert spend(suite, {"X-Forwarded-For": "203.0.113.2"}) == 3
    assert spend(suite, {"Forwarded": "for=203.0.113.3"}) == 3
    assert spend(suite, {"X-Forwarded-For": "6.6.6.6, 203.0.113.3"}) == 0, "the right end counts"
    assert spend(suite, {"X-Forwarded-For": "2001:db8:1:1::1"}) == 3
    assert spend(suite, {"X-Forwarded-For": "2001:db8:1:2::9"}) == 0, "one /56"


def test_two_forwarding_headers_that_differ_are_not_believed(start):
    suite = start()
    assert suite.get("/metrics", {"X-Forwarded-For": "10.1.2.3", "Forwarded": "for=10.1.2.3"}).status == 200
    passed = [suite.get("/a", {"X-Forwarded-For": f"203.0.113.{number}", "Forwarded": "for=198.51.100.7"}).status
              for number in range(5)]
    assert passed == [200] * 3 + [429] * 2, "all count for the proxy's address"
    assert suite.get("/metrics", {"X-Forwarded-For": "10.1.2.3", "Forwarded": "for=203.0.113.1"}).status == 403
    assert suite.metrics().sum("valvechain_forwarded_differ_total") == 6
    event = suite["api-front"].wait_event("security")
    assert event["kind"] == "forwarded_differ" and "FORWARDED_BY" in event["detail"]


def test_forwarded_by_says_which_header_counts(start):
    suite = start(FORWARDED_BY="forwarded")
    both = {"X-Forwarded-For": "203.0.113.1", "Forwarded": "for=203.0.113.2"}
    assert spend(suite, both) == 3
    assert spend(suite, {"Forwarded": "for=203.0.113.2"}) == 0
    assert suite.metrics().sum("valvechain_forwarded_differ_total") == 0


def test_forwarding_headers_of_untrusted_peers_change_nothing(start):
    suite = start(TRUSTED_PROXIES="10.9.9.9")
    passed = 0
    for number in range(5):
        passed += suite.get("/a", {"X-Forwarded-For": f"203.0.113.{number}"}).status == 200
    assert passed == 3
    hidden = suite.get("/metrics", {"X-Forwarded-For": "127.0.0.1"})
    assert hidden.status == 403
    assert len(suite["api-front"].events("identity.forwarded_untrusted")) == 1
    metrics = suite.metrics()
    assert metrics.sum("valvechain_forwarded_untrusted_total") == 6
    assert metrics.sum("valvechain_system_refused_total") == 1
    health = json.loads(suite.get("/api/health").body)
    finding = next(c for c in health["checks"] if c["name"] == "trusted-proxies")
    assert finding["status"] == "degraded" and "TRUSTED_PROXIES" in finding["finding"]


def test_the_tier_of_a_verified_token_counts_by_its_subject(start):
    suite = start(JWT_SECRET=SECRET)
    premium = bearer(token(sub="alice", tier="premium"))
    assert spend(suite, premium) == 6
    assert spend(suite, {**premium, "X-Forwarded-For": "203.0.113.1"}) == 0, "one subject"
    assert spend(suite, bearer(token(sub="bob", subscription={"tier": "enterprise"}))) == 9
    refused = suite.get("/a", premium)
    assert json.loads(refused.body)["key"] == "subject"
    assert spend(suite, bearer(token(sub="carol"))) == 3, "no tier in it: free"
    metrics = suite.metrics()
    assert metrics.sum("valvechain_tokens_total", result="verified") == 3
    assert metrics.sum("valvechain_tokens_total", result="cached") >= 6 + 9
    health = json.loads(suite.get("/api/health").body)
    assert health["features"]["jwtIdentity"] is True


@pytest.mark.parametrize("forged, result", [
    (lambda: token(sub="eve", tier="enterprise", alg="none"), "bad_algorithm"),
    (lambda: token(sub="eve", tier="enterprise", secret="guess"), "bad_signature"),
    (lambda: token(sub="eve", tier="enterprise", alg="HS512"), "bad_algorithm"),
    (lambda: token(sub="eve", tier="enterprise", lifetime=-60), "expired"),
    (lambda: token(sub="eve", tier="enterprise", nbf=int(time.time()) + 600), "not_yet_valid"),
    (lambda: token(sub="eve", tier="enterprise")[:-2] + "AA", "bad_signature"),
    (lambda: "a.b.c", "bad_form"),
], ids=["none", "wrong-secret", "other-algorithm", "expired", "not-yet", "changed", "garbage"])
def test_a_forged_token_makes_nobody_more_than_free(start, forged, result):
    suite = start(JWT_SECRET=SECRET)
    assert spend(suite, bearer(forged())) == 3
    assert spend(suite) == 0, "it was counted by address"
    assert suite.metrics().sum("valvechain_tokens_total", result=result) == 4
    event = suite["api-front"].wait_event("security")
    assert event["kind"] == "token_refused" and event["detail"] == result
    assert forged()[:12] not in suite["api-front"].text or result == "bad_form", "no token in a log"


@pytest.mark.parametrize("secret", [None, "your-secret-key"], ids=["unset", "placeholder"])
def test_without_a_secret_of_ones_own_tokens_are_not_believed(start, secret):
    suite = start(JWT_SECRET=secret)
    forged = bearer(token(sub="eve", tier="enterprise", secret="your-secret-key"))
    assert spend(suite, forged) == 3
    warning = suite["api-front"].wait_event("identity.jwt_off")
    assert "JWT_SECRET" in warning["message"]
    health = json.loads(suite.get("/api/health").body)
    assert "JWT_SECRET" in next(c for c in health["checks"] if c["name"] == "jwt")["finding"]
    assert health["features"]["jwtIdentity"] is False


def test_claims_in_headers_count_from_trusted_peers_only(start):
    suite = start()
    assert spend(suite, {"X-API-Tier": "enterprise"}) == 3
    assert suite.metrics().sum("valvechain_claims_untrusted_total") == 4
    assert spend(suite, {"X-API-Key": "invented"}) == 0, "a new key is no new allowance"


def test_claims_in_headers_of_a_trusted_peer(start):
    suite = start(TRUSTED_CLAIMS="loopback")
    assert spend(suite, {"X-API-Tier": "Premium", "X-Forwarded-For": "203.0.113.5"}) == 6
    assert spend(suite, {"X-API-Tier": "enterprise", "X-API-Key": "key-1"}) == 9
    assert spend(suite, {"X-API-Key": "key-2"}) == 3
    assert spend(suite, {"X-API-Tier": "emperor", "X-Forwarded-For": "203.0.113.6"}) == 3
    assert suite.metrics().sum("valvechain_claims_invalid_total") == 4


def test_development_trusts_claims_of_loopback(start):
    suite = start(NODE_ENV="development")
    assert spend(suite, {"X-API-Tier": "premium"}) == 6


def test_the_global_limit_binds_free_callers_and_not_verified_ones(start):
    suite = start(GLOBAL_RATE_MAX=2, JWT_SECRET=SECRET)
    assert spend(suite) == 2
    assert json.loads(suite.get("/a").body)["violated-policies"] == ["global"]
    assert spend(suite, bearer(token(sub="alice", tier="premium"))) == 6


def test_authentication_paths_have_their_own_limit(start):
    suite = start(AUTH_RATE_MAX=2, AUTH_PATHS="/login", TIER_FREE_MAX=50)
    assert spend(suite, target="/login") == 2
    assert json.loads(suite.get("/login").body)["violated-policies"] == ["auth"]
    assert suite.get("/logins").status == 200
    assert suite.metrics().sum("valvechain_rate_limit_hits_total", endpoint_type="auth") == 2


@pytest.mark.parametrize("environment, limit", [("production", 3), ("development", 20)])
def test_the_authentication_limit_follows_the_environment(start, environment, limit):
    suite = start(NODE_ENV=environment, AUTH_PATHS="/login", TIER_FREE_MAX=100,
                  AUTH_RATE_MAX=None)
    assert spend(suite, target="/login") == limit


def test_regions_take_the_global_limits_place(start):
    suite = start(REGIONAL_RATE_LIMITING="true", TRUSTED_CLAIMS="loopback", GLOBAL_RATE_MAX=1)
    answer = suite.get("/a", {"X-Region": "Asia"})
    assert answer.status == 200 and (1000, 900) in policies(answer).values()
    answer = suite.get("/a", {"X-Region": "europe"})
    assert answer.status == 200 and (1500, 900) in policies(answer).values()
    answer = suite.get("/a")
    assert answer.status == 200 and (2000, 900) in policies(answer).values()


def test_shadow_mode_refuses_nothing_and_counts(start):
    suite = start(LIMITS_MODE="shadow")
    assert spend(suite, at_most=10) == 10
    assert suite.get("/a").header("RateLimit") is None
    metrics = suite.metrics()
    assert metrics.sum("valvechain_rate_limit_shadow_hits_total", policy="tier-free") == 8
    assert metrics.sum("valvechain_rate_limit_hits_total") == 0
    stats = json.loads(suite.get("/api/rate-limit/stats").body)
    assert stats["mode"] == "shadow"


def test_the_flag_switches_limits_off(start):
    suite = start(ADVANCED_RATE_LIMITING="false")
    assert spend(suite, at_most=10) == 10
    answer = suite.get("/a")
    assert answer.header("RateLimit") is None and answer.header("RateLimit-Policy") is None
    assert json.loads(suite.get("/api/health").body)["features"]["advancedRateLimiting"] is False


def test_system_endpoints_are_not_charged(start):
    suite = start()
    for _ in range(20):
        assert suite.get("/livez").status == 200
        assert suite.get("/metrics").header("RateLimit") is None
    assert spend(suite) == 3
    assert suite.get("/api/health").status == 200


def test_two_gateways_share_one_allowance(make_suite, upstream):
    suite = make_suite(processes=FRONT, fronts=2,
                       env={"UPSTREAM_URL": upstream.url, "TIER_FREE_MAX": 10})
    assert spend(suite) == 10


def test_statistics_name_policies_and_refusals(start):
    suite = start()
    assert spend(suite) == 3
    stats = json.loads(suite.get("/api/rate-limit/stats").body)
    assert stats["enabled"] is True and stats["mode"] == "enforce" and stats["generation"] >= 1
    by_name = {policy["name"]: policy for policy in stats["policies"]}
    assert {"auth", "tier-free", "tier-premium", "tier-enterprise", "global"} <= set(by_name)
    assert by_name["tier-free"]["limit"] == 3 and by_name["tier-free"]["refused"] == 1
    assert by_name["tier-free"]["windowMs"] == 900000
    assert by_name["global"]["refused"] == 0
    assert stats["table"] == {
        "cells": None, "live": None, "newKeys": 2, "overflow": 0, "freed": None,
        "flood": {"active": None, "count": None, "newKeysPerSecond": None}}, "no limiter"
