"""`python -m tests.browser.pictures DEMO_OUTPUT DASHBOARD_URL` makes the pictures of README.md from a running demo.

DEMO_OUTPUT: what `make demo KEEP=1` has printed; its terminal is drawn by the browser, too.
"""

from __future__ import annotations

import argparse
import html
import re
import time
from pathlib import Path

from selenium.webdriver.common.by import By

from tests.browser.test_dashboard import PROJECT, open_chromium

PICTURES = PROJECT / "docs" / "pictures"
COLUMNS = 120
TERMINAL = """
<body style="margin:0;overflow:hidden;background:#11151c;color:#d7dde6;font:13px/1.45 'DejaVu Sans Mono',monospace">
<pre style="margin:0;padding:18px 22px;display:inline-block">{}</pre></body>
"""
COLOURS = {"──": "#8fb8ff", "✓": "#8fd694", "refused": "#ff9d8f", "$": "#f5d67b"}


def terminal(text: str) -> str:
    """A page that shows these lines as a terminal would."""
    lines = []
    for line in text.splitlines():
        word = next((word for word in COLOURS if word in line[:16]), None)
        shown = html.escape(line)
        lines.append(f'<span style="color:{COLOURS[word]}">{shown}</span>' if word else shown)
    return TERMINAL.format("\n".join(lines))


def sections(output: str, *numbers: int) -> str:
    """Those chapters of the demo's story without its warning that alerts are off, as wide as a terminal."""
    chapters = output.split("\n── ")[1:]
    story = "\n".join(f"── {chapter}" for chapter in chapters if int(chapter.split(".")[0]) in numbers)
    told = re.sub(r"(?m)^.*warning G20.*\n(.*(seen|cause|mend): .*\n)+", "", story)
    return "\n".join(line[: COLUMNS - 1] + "…" if len(line) > COLUMNS else line for line in told.splitlines())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("demo_output", type=Path)
    parser.add_argument("dashboard_url")
    options = parser.parse_args()
    PICTURES.mkdir(exist_ok=True)
    with open_chromium() as browser:
        browser.get("about:blank")
        page = terminal(sections(options.demo_output.read_text(), 1, 3, 4, 5))
        browser.set_window_size(1280, 1400)
        browser.execute_script("document.documentElement.innerHTML = arguments[0]", page)
        browser.find_element(By.TAG_NAME, "pre").screenshot(str(PICTURES / "demo.png"))
        for view in ("Now", "Market"):
            browser.set_window_size(1280, 860 if view == "Now" else 1000)
            browser.get(f"{options.dashboard_url}/?view={view}")
            time.sleep(8)  # a chart is drawn after its data has come
            browser.save_screenshot(str(PICTURES / f"dashboard-{view.lower()}.png"))


if __name__ == "__main__":
    main()
