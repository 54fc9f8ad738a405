"""The dashboard as a person sees it: a real Streamlit process, a real Chromium, a real database."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import sin
from pathlib import Path
from secrets import token_hex
from urllib.parse import urlsplit

import psycopg
import pytest
from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from live.events import (
    Decided,
    EquityObserved,
    Event,
    Filled,
    IntentApproved,
    OrderAccepted,
    OrderIntended,
    WorkerStarted,
)
from live.journal import PostgresJournal
from live.model import Candle, Fill, Intent, Leg, OrderSide, OrderSpec, OrderType, Side, Target
from live.status import Status
from prodsafe.lease import account_scope, acquire
from tests.processes import Start, Venue, entered_and_protected, worker_environment

PROJECT = Path(__file__).resolve().parents[2]
SCREENSHOTS = PROJECT / ".screenshots"
SCOPE = account_scope("krakenfutures", "desk", "test")
SYMBOL = "BTC/USD:USD"
NASTY = "<script>document.title='owned'</script> ![x](http://127.0.0.1:9/x.png)"
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1280,1700"),
)


def story(now: datetime) -> list[Event]:
    """One long position, entered and protected, a decision not taken, equity on the way up."""
    began = now - timedelta(hours=3)
    intent = Intent(
        position_id="p1",
        symbol=SYMBOL,
        side=Side.LONG,
        qty=Decimal("0.5"),
        entry_price=None,
        stop_price=Decimal("60400"),
        targets=(Target(Decimal("61900"), Decimal("0.2")), Target(Decimal("62600"), Decimal("0.3"))),
        risk_quote=Decimal("300"),
        decided_at=began,
        expires_at=began + timedelta(minutes=15),
        reasons=("bullish BOS at 60950", "mitigated order block 60700"),
    )
    return [
        WorkerStarted(at=began, version="0.1.0", host="desk-1", pid=4711, predecessor_clean=True),
        *(
            EquityObserved(
                at=began + timedelta(minutes=3 * n), equity_quote=Decimal(10_000 + round(90 * sin(n / 9)) + 6 * n)
            )
            for n in range(55)
        ),
        Decided(at=began, symbol=SYMBOL, closed_at=began, taken=True, side=Side.LONG, reasons=intent.reasons),
        IntentApproved(at=began, intent=intent),
        *order(began, Leg.ENTRY, OrderSide.BUY, OrderType.MARKET, None),
        Filled(at=began, client_order_id="ps-e", fill=fill(began)),
        *order(began, Leg.STOP, OrderSide.SELL, OrderType.STOP, Decimal("60400")),
        Decided(at=now, symbol="ETH/USD:USD", closed_at=now, taken=False, side=None, reasons=("no structure", NASTY)),
    ]


def equity(n: int) -> Decimal:
    return Decimal(10_000 + round(90 * sin(n / 9)) + 6 * n)


def order(at: datetime, leg: Leg, side: OrderSide, type: OrderType, trigger: Decimal | None) -> list[Event]:
    spec = OrderSpec(
        client_order_id=f"ps-{leg}",
        position_id="p1",
        symbol=SYMBOL,
        side=side,
        leg=leg,
        type=type,
        qty=Decimal("0.5"),
        trigger_price=trigger,
        reduce_only=leg is not Leg.ENTRY,
    )
    return [
        OrderIntended(at=at, spec=spec, expires_at=at + timedelta(seconds=2)),
        OrderAccepted(at=at, client_order_id=spec.client_order_id, venue_order_id=f"v-{leg}"),
    ]


def fill(at: datetime) -> Fill:
    return Fill(
        fill_id="f1",
        venue_order_id="v-e",
        client_order_id="ps-e",
        symbol=SYMBOL,
        side=OrderSide.BUY,
        qty=Decimal("0.5"),
        price=Decimal("60950"),
        fee_quote=Decimal("15.2"),
        filled_at=at,
    )


def candles(now: datetime, count: int = 150) -> list[Candle]:
    first = now.replace(minute=0, second=0, microsecond=0) - timedelta(minutes=5 * count)
    prices = [Decimal(round(61000 + 420 * sin(n / 17) + 160 * sin(n / 3.1))) for n in range(count + 1)]
    return [
        Candle(
            symbol=SYMBOL,
            timeframe=timedelta(minutes=5),
            opened_at=first + timedelta(minutes=5 * n),
            open=prices[n],
            high=max(prices[n], prices[n + 1]) + 45,
            low=min(prices[n], prices[n + 1]) - 45,
            close=prices[n + 1],
            volume=Decimal(12),
        )
        for n in range(count)
    ]


async def tell(url: str, epoch: int, holder: object) -> None:
    now = datetime.now(UTC)
    journal = await PostgresJournal.open(url, scope=SCOPE, epoch=epoch, holder=holder)
    await journal.append(story(now))
    await journal.save_candles(candles(now))
    await journal.save_status(
        Status(
            state="running",
            observed_at=now,
            scope=SCOPE,
            host="desk-1",
            pid=4711,
            version="0.1.0",
            started_at=now - timedelta(hours=3),
            last_tick_at=now,
            tick_bound_seconds=600,
            reconciled=True,
            open_positions=1,
            live_orders=1,
            equity_quote="10324.00",
            last_action="no action: long 0.5 BTC/USD:USD, stop 60400, lease 1",
        )
    )
    await journal.close()


@contextmanager
def open_chromium() -> Iterator[webdriver.Chrome]:
    driver = shutil.which("chromedriver")
    assert driver, "the browser tests need Debian's packages chromium and chromium-driver"
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in FLAGS:
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=driver))
    try:
        yield browser
    finally:
        browser.quit()


@pytest.fixture(scope="module")
def chromium() -> Iterator[webdriver.Chrome]:
    with open_chromium() as browser:
        yield browser


@pytest.fixture
def open_dashboard(chromium: webdriver.Chrome) -> Iterator[Callable[[str], webdriver.Chrome]]:
    """open_dashboard(database_url) starts Streamlit and returns the browser, looking at it."""
    running: list[subprocess.Popen[bytes]] = []

    def start(database_url: str) -> webdriver.Chrome:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "streamlit", "run", "live/dashboard.py", "--server.port", str(port)]
        environment = {**os.environ, "DATABASE_URL": database_url}
        running.append(
            subprocess.Popen(
                command, cwd=PROJECT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        )
        wait_for_port(port)
        chromium.get(f"http://127.0.0.1:{port}/")
        return chromium

    yield start
    for process in running:
        process.terminate()
        process.wait(10)


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the dashboard did not start")


def may_only_read(database_url: str) -> str:
    """The same database for a login that has no right but the reader's: what it can show needs no other."""
    role = f"viewer_{token_hex(4)}"  # roles belong to the whole server, not to this test's database
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'v1ewer' IN ROLE prodsafe_reader")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            admin.execute(f"SET ROLE {role}")
            admin.execute("INSERT INTO live.halt_event (scope, halted, reason, who) VALUES ('s', false, 'r', 'w')")
    parts = urlsplit(database_url)
    return parts._replace(netloc=f"{role}:v1ewer@{parts.hostname}:{parts.port}").geturl()


def text_with(browser: webdriver.Chrome, *words: str) -> str:
    """What a person reads once all the words are on the page."""

    def read(driver: webdriver.Chrome) -> str | bool:
        text = driver.find_element(By.TAG_NAME, "body").text
        return text if all(word.lower() in text.lower() for word in words) else False

    try:
        return WebDriverWait(browser, 20, poll_frequency=0.2).until(read)
    except TimeoutException:
        raise AssertionError(f"not all of {words} in:\n{browser.find_element(By.TAG_NAME, 'body').text}") from None


@pytest.fixture
def told(database_url: str) -> Iterator[str]:
    """A database in which a worker holds the account and has a story; the URL of a login that may only read."""
    with acquire(database_url, [SCOPE], exit_on_loss=False) as lease:
        lease.activate()
        asyncio.run(tell(database_url, lease.token.epoch, lease.token.holder))
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO live.halt_event (scope, halted, reason, who) VALUES (%s, true, 'maintenance', 'ann@desk')",
                (SCOPE,),
            )
        yield may_only_read(database_url)


def test_shows_who_holds_the_account_what_is_protected_and_why(told, open_dashboard) -> None:
    browser = open_dashboard(told)
    text = text_with(browser, "Why, at the last closed candle", "no structure")

    assert SCOPE in text
    assert "running" in text and "healthy" in text and "epoch " in text
    assert "HALTED" in text and "maintenance (ann@desk" in text
    assert "every position protected" in text
    assert "60400" in text and "61900, 62600" in text
    assert "<script>document.title" in text, "what a venue says is shown as text"
    assert browser.title == "prodsafe"
    assert not browser.find_elements(By.CSS_SELECTOR, "img[src*='127.0.0.1:9']")
    assert "Traceback" not in text and "v1ewer" not in browser.page_source


VIEWS = {
    "Now": ("Open positions", "every position protected"),
    "Orders": ("Working at the venue", "ps-s", "filled"),
    "Market": ("target 2", "long entry", "Decisions on BTC/USD:USD"),
    "Equity": ("below its peak", "Closed positions"),
    "Journal": ("worker started", "filled buy 0.5 at 60950"),
    "System": ("Who held the account", "0001_expand_journal", "applied"),
}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_view_shows_its_matter_in_both_themes_and_on_a_phone(told, open_dashboard, theme: str) -> None:
    """The pictures stay in .screenshots, to be looked at."""
    browser = open_dashboard(told)
    seen_as(browser, theme)
    address = browser.current_url.split("?")[0]

    for view, words in VIEWS.items():
        for width in (1280, 420):
            browser.set_window_size(max(width, 500), 1500)
            browser.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride",
                {"width": width, "height": 1500, "deviceScaleFactor": 1, "mobile": width < 500},
            )
            browser.get(f"{address}?view={view}")
            text = text_with(browser, *words)
            picture(browser, f"{view.lower()}-{theme}-{width}")

            assert "Traceback" not in text and "could not be drawn" not in text
            assert overflow(browser) <= 0, f"{view} is wider than a screen of {width}"
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def seen_as(browser: webdriver.Chrome, theme: str) -> None:
    wish = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", wish)


def picture(browser: webdriver.Chrome, name: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    assert browser.save_screenshot(str(SCREENSHOTS / f"{name}.png"))


def overflow(browser: webdriver.Chrome) -> int:
    script = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    return int(browser.execute_script(script))


def test_a_worker_on_the_simulated_venue_is_shown_as_it_trades(
    database_url: str, venue: Venue, start: Start, open_dashboard
) -> None:
    """The real thing: gates, lease, orders over HTTP, a stop that rests; every view of it."""
    worker = start(["-m", "live.prod_live"], worker_environment(database_url, venue.url))
    entered_and_protected(worker, venue)
    browser = open_dashboard(database_url)
    address = browser.current_url.split("?")[0]

    assert "every position protected" in text_with(browser, "protected", "open p/l", "take long", "every gate passed")
    for view, words in (("Orders", "working at the venue"), ("Market", "stop"), ("System", "settings")):
        browser.get(f"{address}?view={view}")
        text = text_with(browser, words)
        picture(browser, f"worker-{view.lower()}")
        assert "could not be drawn" not in text and "Traceback" not in text


def test_a_search_finds_an_order_by_a_part_of_its_id(told, open_dashboard) -> None:
    browser = open_dashboard(told)
    browser.get(browser.current_url.split("?")[0] + "?view=Journal")
    text_with(browser, "worker started")

    box = WebDriverWait(browser, 20).until(
        lambda seen: seen.find_element(By.CSS_SELECTOR, "input[aria-label='search']")
    )
    box.send_keys("PS-S" + Keys.ENTER)
    text_with(browser, "ps-s is the stop")

    WebDriverWait(browser, 20).until(lambda seen: "worker started" not in seen.find_element(By.TAG_NAME, "body").text)


def test_a_worker_that_was_killed_is_shown_as_such(database_url, open_dashboard) -> None:
    """Its last row still says that it runs; its lease does not beat."""
    with acquire(database_url, [SCOPE], exit_on_loss=False) as lease:
        lease.activate()
        asyncio.run(tell(database_url, lease.token.epoch, lease.token.holder))
        lease.abandon()

    text = text_with(open_dashboard(database_url), "H11 lease-not-fresh")

    assert "unhealthy" in text


def test_says_so_when_nothing_has_happened_yet(database_url, open_dashboard) -> None:
    text = text_with(open_dashboard(database_url), "No worker has held an account here yet.")

    assert "Traceback" not in text


def test_stays_calm_when_the_database_is_down(open_dashboard) -> None:
    browser = open_dashboard("postgresql://someone:s3cretword@127.0.0.1:9/none")

    text = text_with(browser, "The database cannot be read", "P01 database-unreachable")

    assert "s3cretword" not in browser.page_source and "Traceback" not in text
