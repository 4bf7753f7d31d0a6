#!/usr/bin/env python3
"""The upload page of headct serve in headless Chromium, with axe-core: page.py HEADCT WORK (a folder to use). $HEADCT_SHOTS: where screenshots go. TAP."""
import json
import os
import subprocess
import sys
import time
import urllib.request

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(here, "..", "support"), os.path.join(here, "..", "report")]
from browser import browser, requests  # noqa: E402
from doors import Program, done, ok, write_series  # noqa: E402
from axe_selenium_python import Axe  # noqa: E402
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

headct, work = Program(sys.argv[1]), sys.argv[2]
TOKEN = "0123456789abcdef-secret"


def serve(*options):
    p = subprocess.Popen([headct.headct, "serve", "--run", f"{work}/run", "--port", "0", *options], stdout=subprocess.PIPE, stderr=open(f"{work}/log", "a"), text=True)
    return p, "http://127.0.0.1:" + p.stdout.readline().split()[-1] + "/"


def until(good, seconds=120):
    deadline = time.time() + seconds
    while time.time() < deadline:
        try:
            if good():
                return True
        except Exception:
            pass
        time.sleep(0.2)
    return False


def status():
    return d.find_element(By.ID, "status").text


def shot(name):
    if os.environ.get("HEADCT_SHOTS"):
        height = d.execute_script("return document.documentElement.scrollHeight")
        d.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 1000, "height": height, "deviceScaleFactor": 1, "mobile": False})
        d.save_screenshot(os.path.join(os.environ["HEADCT_SHOTS"], name + ".png"))
        d.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def axe(name):
    a = Axe(d)
    a.inject()
    result = a.run()
    found = [v for v in result["violations"] if v["impact"] in ("serious", "critical")]
    if not ok(not found and len(result["passes"]) > 10, name):
        for v in found:
            print("#", v["id"], v["help"], [n["html"][:160] for n in v["nodes"][:3]])


def size(width, scheme="light"):
    d.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500})
    d.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})


def predict(*paths):
    d.find_element(By.ID, "files").send_keys("\n".join(paths))
    d.find_element(By.ID, "go").click()
    return until(lambda: "predicted" in status())


ok(headct.tiny_run(work), "a model")
scan = f"{work}/ph/p0001_s1.nii.gz"
write_series(f"{work}/series")
server, url = serve()
want = json.loads(headct("predict", "--run", f"{work}/run", scan, "--json", "--quiet").stdout)["probabilities"]
d = browser()
try:
    size(1000)
    d.get_log("performance")
    d.get(url)
    ok(until(lambda: "SDH, IPH" in d.find_element(By.ID, "model").text), "the page says which model the server holds")
    ok("not a medical device" in d.find_element(By.CSS_SELECTOR, ".note").text.lower(), "and what it is not")
    shot("page")
    d.find_element(By.ID, "go").click()
    ok(until(lambda: "Choose files first" in status(), 10), "without files it asks for some")

    open(f"{work}/notes.txt", "w").write("no scan")
    good = predict(scan, f"{work}/notes.txt")
    cells = [[c.text for c in r.find_elements(By.XPATH, "./*")] for r in d.find_elements(By.CSS_SELECTOR, "#answers table")[0].find_elements(By.CSS_SELECTOR, "tbody tr")]
    if not ok(good and [c[:2] for c in cells] == [[k, f"{want[k]:.3f}"] for k in ("SDH", "IPH")], "a scan's probabilities are those of headct predict"):
        print("#", status(), cells)
    ok(all(c[3] in ("yes", "no") for c in cells), "beside thresholds and what reaches them")
    ok(len(d.find_elements(By.CSS_SELECTOR, "#answers .viewer.ready")) == 1, "with its slices in the viewer")
    ok(d.switch_to.active_element.get_attribute("id") == "results", "the focus is on the results")
    canvas, out = d.find_element(By.CSS_SELECTOR, ".axial canvas"), d.find_element(By.CSS_SELECTOR, "#answers output")
    before, said = d.execute_script("return arguments[0].toDataURL()", canvas), out.text
    canvas.send_keys(Keys.ARROW_UP)
    ok(out.text != said and d.execute_script("return arguments[0].toDataURL()", canvas) != before, "an arrow key goes to the next slice")
    shot("results")
    button = d.find_element(By.CSS_SELECTOR, "#answers button")
    ok("SDH" in button.get_attribute("aria-label") and "p0001_s1" in button.get_attribute("aria-label"), "a button says whose map it shows")
    button.send_keys(Keys.ENTER)
    ok(until(lambda: "lies over the slices" in status()) and d.find_element(By.CSS_SELECTOR, "#answers .opacity").is_displayed(), "by keyboard alone: a map over the slices")
    shot("map")

    d.find_element(By.ID, "clear").click()
    ok(not d.find_element(By.ID, "results").is_displayed() and not d.find_elements(By.CSS_SELECTOR, ".viewer"), "Clear takes all away")
    d.find_element(By.ID, "folder").send_keys(f"{work}/series")
    until(lambda: "34 files" in status(), 10)
    d.find_element(By.ID, "go").click()
    ok(until(lambda: "1 scan predicted, 0 not read" in status()), "a folder of DICOM files is one scan")
    d.find_element(By.ID, "clear").click()
    d.execute_script("""
        var t = new DataTransfer();
        t.items.add(new File(['no scan'], 'x.nii'));
        document.getElementById('drop').dispatchEvent(new DragEvent('drop', {dataTransfer: t, bubbles: true, cancelable: true}));""")
    ok(until(lambda: "1 file" in status(), 10), "a dropped file is taken")
    d.find_element(By.ID, "go").click()
    ok(until(lambda: "0 scans predicted, 1 not read" in status()) and "x" in d.find_element(By.ID, "answers").text, "what is no scan is named with its reason")

    log = [e["message"] for e in d.get_log("browser") if "422" not in e["message"]]
    other = [u for u in requests(d) if not u.startswith((url, "data:", "blob:"))]
    if not ok(not log, "no console message"):
        print("#", log)
    ok(not other, f"no request to anyone else {other[:3]}")
    kept = d.execute_script("return [localStorage.length, sessionStorage.length, document.cookie]")
    ok(kept == [0, 0, ""], "nothing is stored in the browser")

    # The way by keyboard: every control is reached by tab, in order
    d.get(url)
    until(lambda: d.find_element(By.ID, "go").is_enabled())
    order = []
    for _ in range(8):
        ActionChains(d).send_keys(Keys.TAB).perform()
        order.append(d.switch_to.active_element.get_attribute("id"))
    at = [order.index(i) for i in ("files", "folder", "go", "clear") if i in order]
    ok(len(at) == 4 and at == sorted(at), f"tab reaches every control in order {order}")

    # axe-core comes in past the policy, which lets no script in but the page's own
    d.execute_cdp_cmd("Page.setBypassCSP", {"enabled": True})
    for scheme in ("light", "dark"):
        size(1000, scheme)
        d.get(url)
        until(lambda: d.find_element(By.ID, "go").is_enabled())
        axe(f"axe finds nothing serious, {scheme}")
        predict(scan, f"{work}/notes.txt")
        axe(f"nor with results, {scheme}")
    d.execute_cdp_cmd("Page.setBypassCSP", {"enabled": False})
    size(390)
    d.get(url)
    until(lambda: d.find_element(By.ID, "go").is_enabled())
    predict(scan)
    wide = d.execute_script("return document.documentElement.scrollWidth")
    ok(wide <= 390, f"nothing sticks out of 390 pixels ({wide})")
    size(1000)
    blocked = d.execute_script("var s = document.createElement('script'); s.textContent = 'window.planted = 1'; document.body.appendChild(s); return window.planted === undefined")
    ok(blocked, "the policy lets no other script run")
    ok("not-read" not in url and urllib.request.urlopen(url).headers["Content-Security-Policy"].startswith("default-src 'none'"), "and is the strict one")
    server.terminate()
    server.wait()

    # With a token
    open(f"{work}/token", "w").write(TOKEN + "\n")
    os.chmod(f"{work}/token", 0o600)
    server, url = serve("--token-file", f"{work}/token")
    d.get(url)
    ok(until(lambda: d.find_element(By.ID, "token").is_displayed(), 20), "a server with a token: the page asks for it")
    d.find_element(By.ID, "token").send_keys("wrong-wrong-wrong-wrong" + Keys.ENTER)
    ok(until(lambda: "a token is needed" in d.find_element(By.ID, "model").text, 20) and d.find_element(By.ID, "token").is_displayed(), "a wrong one is asked for again")
    d.find_element(By.ID, "token").send_keys(TOKEN + Keys.ENTER)
    ok(until(lambda: "SDH, IPH" in d.find_element(By.ID, "model").text, 20) and predict(scan), "the right one opens it")
    ok(TOKEN not in d.page_source and d.execute_script("return [localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""], "it is kept nowhere but in the script's memory")
    d.refresh()
    ok(until(lambda: d.find_element(By.ID, "token").is_displayed(), 20), "and gone when the page is loaded again")
finally:
    d.quit()
    server.terminate()
    server.wait()
sys.exit(done())
