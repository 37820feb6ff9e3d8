"""Opens a report of `fathom report` in headless Chromium, as wide as a phone, a tablet and a screen, light and dark.

Usage: browser_test.py FATHOM. Prints what is wrong; exit 1 if anything is, 77 where there is no Chromium.

The page lies in frames of a page of our own, whose script measures it there: the report itself may run none.
"""
import html
import json
import math
import pathlib
import shutil
import subprocess
import sys
import tempfile

WIDTHS = (320, 768, 1200)
STEPS = 200
NAME = "<script>document.title = 'run'</script> a-name-without-a-place-to-break-it-" + "x" * 80

# What is measured in a frame. Texts: those of axes that lie on one another; small ones.
MEASURE = """
function measure(frame, width) {
  const page = frame.contentDocument, wrong = [];
  const root = page.documentElement;
  if (root.scrollWidth > width) wrong.push(`needs ${root.scrollWidth} pixels`);
  if (page.querySelectorAll('script').length) wrong.push('has a script');
  if (!page.title.includes('<script>')) wrong.push(`title is ${page.title}`);
  const loaded = frame.contentWindow.performance.getEntriesByType('resource');
  if (loaded.length) wrong.push(`loads ${loaded[0].name}`);
  const figures = page.querySelectorAll('figure');
  if (figures.length < 12) wrong.push(`has ${figures.length} figures`);
  const boxes = (where) => [...where].map((e) => e.getBoundingClientRect());
  const overlap = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  for (const figure of figures) {
    const name = figure.querySelector('figcaption').textContent;
    const picture = figure.querySelector('.area svg').getBoundingClientRect();
    if (picture.width < 0.6 * width / (width > 1000 ? 4 : width > 700 ? 2 : 1) || picture.height < 50)
      wrong.push(`${name}: the picture is ${picture.width} x ${picture.height}`);
    if (!figure.querySelector('.area svg path[d]')) wrong.push(`${name}: nothing is drawn`);
    for (const axis of ['.xs span', '.ys span']) {
      const texts = figure.querySelectorAll(axis), places = boxes(texts);
      if (!texts.length) wrong.push(`${name}: no ticks`);
      for (let i = 0; i < places.length; ++i) {
        if (places[i].left < 0 || places[i].right > width) wrong.push(`${name}: ${texts[i].textContent} is outside`);
        for (let k = 0; k < i; ++k)
          if (overlap(places[i], places[k])) wrong.push(`${name}: ${texts[i].textContent} on ${texts[k].textContent}`);
      }
    }
  }
  for (const e of page.querySelectorAll('span, td, th, p, small, li'))
    if (parseFloat(frame.contentWindow.getComputedStyle(e).fontSize) < 10) wrong.push(`${e.textContent}: small`);
  if (page.querySelectorAll('path.bad').length < 1) wrong.push('NaN has no mark');
  return {wrong: wrong.slice(0, 10), ground: frame.contentWindow.getComputedStyle(page.body).backgroundColor};
}
addEventListener('load', () => {
  const out = {dark: matchMedia('(prefers-color-scheme: dark)').matches};
  for (const frame of document.querySelectorAll('iframe')) out[frame.width] = measure(frame, Number(frame.width));
  document.getElementById('result').textContent = JSON.stringify(out);
});
"""


def write_run(folder):
    """A run with everything that a report draws: spikes, NaN, evaluations, experts, a cut last line."""
    folder.mkdir()
    with open(folder / "metrics.jsonl", "w", encoding="utf-8") as out:
        for step in range(STEPS):
            loss = 2 + 9 * math.exp(-step / 30) + 0.2 * math.sin(step * 12.9)
            record = {"step": step, "learning/loss": "NaN" if 90 <= step < 95 else loss, "learning/lm_loss": loss - 0.4,
                      "learning/mtp_loss": 0.4, "learning/moe_lb_loss": 1e-4 + 1e-6 * math.sin(step),
                      "learning/z_loss": 0.0, "learning/indexer_loss": math.exp(-step / 20),
                      "learning/raw_grad_norm": 400.0 if step == 77 else 0.5 + 0.1 * math.cos(step),
                      "learning/grad_norm": 0.5, "learning/param_norm": 923.8 + step / 1000,
                      "learning/current_learning_rate": 2.2e-4 * min(1, step / 20), "learning/total_weights": 4194304,
                      "learning/moe_max_load_ratio": 1.5 + math.exp(-step / 50),
                      "perf/step_time_seconds": 5.1, "perf/per_device_tokens": 16384.0,
                      "perf/per_device_tokens_per_sec": 3212.5, "perf/per_device_tflops_per_sec": 241.25,
                      "perf/device_memory_gb": 78.125}
            if step % 50 == 49:
                record |= {"eval/avg_loss": loss, "eval/avg_perplexity": math.exp(loss)}
            out.write(json.dumps(record) + "\n")
        out.write('{"step": 200, "learn')
    with open(folder / "expert_load.jsonl", "w", encoding="utf-8") as out:
        for step in range(0, STEPS, 20):
            for layer in range(3, 20):
                counts = [(layer * 7919 * (expert + 1) + step) % 97 for expert in range(64)]
                out.write(json.dumps({"step": step, "layer": layer, "counts": counts}) + "\n")
    (folder / "config.yml").write_text(f"run_name: {json.dumps(NAME)}\nsteps: 400\n", encoding="utf-8")


def measured(chromium, page, scratch, dark):
    frames = "".join(f'<iframe width="{w}" height="2000" scrolling="no" srcdoc="{html.escape(page)}"></iframe>\n' for w in WIDTHS)
    outer = scratch / "outer.html"
    outer.write_text(f"<!DOCTYPE html><meta charset=utf-8><body><pre id=result></pre>\n{frames}"
                     f"<script>{MEASURE}</script>", encoding="utf-8")
    theme = ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if dark else []
    done = subprocess.run([chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1400,2000",
                           f"--user-data-dir={scratch / 'profile'}", *theme, "--dump-dom", outer.as_uri()],
                          capture_output=True, text=True, timeout=100, check=False)
    begin, end = '<pre id="result">', "</pre>"
    if begin not in done.stdout:
        return {"fault": f"Chromium gave no page: {done.stderr[-500:]}"}
    return json.loads(html.unescape(done.stdout.split(begin)[1].split(end)[0]))


def main(fathom):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        print("skipped: there is no Chromium (./run setup page installs it)")
        return 77
    wrong, grounds = [], []
    with tempfile.TemporaryDirectory() as name:
        scratch = pathlib.Path(name)
        write_run(scratch / "run")
        subprocess.run([fathom, "report", scratch / "run"], check=True)
        page = (scratch / "run/report.html").read_text(encoding="utf-8")
        for dark in (False, True):
            found = measured(chromium, page, scratch, dark)
            theme = "dark" if dark else "light"
            if found.get("dark") is not dark:
                wrong.append(f"{theme}: {found.get('fault', 'the browser has the other theme')}")
                continue
            for width in WIDTHS:
                wrong += [f"{theme}, {width} pixels: {fault}" for fault in found[str(width)]["wrong"]]
            grounds.append(found["320"]["ground"])
    if len(set(grounds)) != 2:
        wrong.append(f"the ground of the themes is {grounds}")
    print("\n".join(wrong) or f"{len(WIDTHS)} widths, light and dark: as they should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
