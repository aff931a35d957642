"""The page in headless Chromium, over a real suite with real load: what it shows, how it looks, who can use it."""

import os

import pytest

from support import raw_http
from support.suite import BUILD, Load
from support.wait import wait_for

pytestmark = pytest.mark.skipif("release" not in os.path.basename(BUILD),
                                reason="a browser beside sanitizers says nothing of the page and takes minutes")

# Contrast of each text with the ground behind it, by the formula of WCAG 2; names of what can be pressed or seen.
CHECK = r"""
const lum = ([r, g, b]) => [r, g, b].map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const parse = (text) => text.match(/[\d.]+/g).map(Number);
const ground = (node) => {
  for (; node; node = node.parentElement) {
    const color = parse(getComputedStyle(node).backgroundColor);
    if (color.length < 4 || color[3] > 0.99) return color;
  }
  return [255, 255, 255];
};
const bad = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let text; (text = walker.nextNode());) {
  const node = text.parentElement;
  if (!text.data.trim() || !node.getClientRects().length || node.closest("noscript, script")) continue;
  const a = lum(parse(getComputedStyle(node).color)), b = lum(ground(node));
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) bad.push(`contrast ${ratio.toFixed(2)}: ${text.data.trim().slice(0, 40)}`);
}
for (const node of document.querySelectorAll("button, a, summary, [role=img], [role=group], section, nav")) {
  const labelled = node.getAttribute("aria-labelledby");
  const name = node.getAttribute("aria-label") || (labelled ? document.getElementById(labelled)?.textContent : node.textContent);
  if (!name?.trim()) bad.push(`no name: ${node.outerHTML.slice(0, 60)}`);
}
for (const node of document.querySelectorAll("img:not([alt])")) bad.push(`no alt: ${node.src}`);
const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
ids.forEach((id, i) => ids.indexOf(id) !== i && bad.push(`id twice: ${id}`));
for (const name of ["header", "nav", "main", "footer"])
  if (document.querySelectorAll(name).length !== 1) bad.push(`not one ${name}`);
if (document.querySelectorAll("h1").length !== 1) bad.push("not one h1");
if (!document.documentElement.lang || !document.title) bad.push("no language or title");
if (document.getElementById("live").getAttribute("aria-live") !== "polite") bad.push("the state is not announced");
if (document.documentElement.scrollWidth > innerWidth) bad.push(`scrolls sideways: ${document.documentElement.scrollWidth}`);
return bad;
"""


@pytest.fixture(scope="module")
def browser():
    from support.browser import Browser
    with Browser() as started:
        yield started


def text(browser, selector):
    return browser.run("return document.querySelector(arguments[0])?.textContent ?? ''", selector)


def test_a_breaker_opens_on_the_page_in_both_themes_and_widths(make_suite, upstream, browser, tmp_path):
    suite = make_suite(env={"UPSTREAM_URL": upstream.url, "DATABASE_UPSTREAM_URL": "http://127.0.0.1:9", "TIER_FREE_MAX": 60,
                            "GLOBAL_RATE_MAX": 1_000_000, "CB_VOLUME_THRESHOLD": 3, "NODE_ENV": "development"})
    with Load(suite.port, "/x", connections=1, accept=(200, 429)):
        browser.open(f"http://127.0.0.1:{suite.port}/dashboard", 1280)
        wait_for(lambda: text(browser, "#live") == "live", 15, "the page live")
        assert "CLOSED" in text(browser, "article[aria-label='breaker database']")
        for number in range(4):
            suite.get("/api/db/x", {"X-API-Tier": "enterprise", "X-API-Key": f"k{number}"})
        wait_for(lambda: text(browser, "article[aria-label='breaker database'] .state") == "OPEN", 15, "the open breaker")
        wait_for(lambda: browser.run("return !!document.querySelector(\"article[aria-label='breaker database'] .strip .open\")"),
                 15, "its timeline")
        wait_for(lambda: "tier-free" in text(browser, "#limits-body"), 15, "refusals by policy")
        wait_for(lambda: browser.run("return document.querySelectorAll('.area canvas').length") >= 8, 15, "the plots")
        for theme in ("light", "dark"):
            browser.run("if (document.documentElement.dataset.theme !== arguments[0]) "
                        "document.getElementById('theme').click()", theme)
            for width in (1280, 360):
                browser.resize(width)
                wait_for(lambda: browser.run("return innerWidth") == width, 5, "the width")
                browser.picture(str(tmp_path / f"{theme}-{width}.png"))
                assert browser.run(CHECK) == [], (theme, width)
        suite["metrics-agent"].kill()
        wait_for(lambda: text(browser, "#live") == "agent away", 15, "the agent's absence")
    assert browser.complaints() == []
    suite["api-front"].kill()
    wait_for(lambda: text(browser, "#live") == "stale", 20, "the page stale")
    assert "What is shown is from" in text(browser, "#notice")


def test_files_are_served_strictly_and_once(make_suite, upstream):
    suite = make_suite(env={"UPSTREAM_URL": upstream.url}, processes=("api-front", "metrics-agent"))
    for port in (suite.port, suite.metrics_port):
        moved = raw_http.request(port, "GET", "/dashboard")
        assert moved.status == 308 and moved.header("Location").endswith("dashboard/")
        page = raw_http.request(port, "GET", "/dashboard/")
        assert page.status == 200 and page.header("Content-Type") == "text/html; charset=utf-8"
        policy = page.header("Content-Security-Policy")
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert page.header("X-Content-Type-Options") == "nosniff"
        tag = page.header("ETag")
        again = raw_http.request(port, "GET", "/dashboard/", {"If-None-Match": tag})
        assert again.status == 304 and again.body == b"" and again.header("ETag") == tag
        assert raw_http.request(port, "GET", "/dashboard/", {"If-None-Match": '"other"'}).status == 200
        assert raw_http.request(port, "GET", "/dashboard/nothing.js").status == 404
        state = raw_http.request(port, "GET", "/dashboard/state")
        assert state.status == 200 and state.header("Cache-Control") == "no-store"
    assert suite.get("/dashboard/", {"X-Forwarded-For": "203.0.113.1"}).status == 403
    assert suite.get("/dashboard/state", {"X-Forwarded-For": "203.0.113.1"}).status == 403
    assert suite.get("/dashboards").body == b"ok", "only what is below the page's path is the page's"
