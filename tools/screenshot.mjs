// Takes README's picture: the top of a report, in the light scheme.
//   PATH=<node of .venv> node tools/screenshot.mjs out/quickstart/report.html docs/report.png
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(new URL("../web/package.json", import.meta.url));
const { chromium } = require("playwright-core");

const [file, out] = process.argv.slice(2);
if (!file || !out) {
  console.error("usage: node tools/screenshot.mjs REPORT.html OUT.png");
  process.exit(2);
}
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 1040, height: 1180 }, colorScheme: "light" });
await page.goto(pathToFileURL(file).href);
await page.waitForSelector("#plot-accuracy svg");
// Down to the end of the first section that reaches past a screen: no table is cut in the middle.
const end = await page.evaluate(() => {
  const ends = [...document.querySelectorAll("section")].map((section) => section.getBoundingClientRect().bottom);
  return Math.ceil((ends.find((bottom) => bottom > 900) ?? ends.at(-1)) + 18);
});
await page.setViewportSize({ width: 1040, height: end });
await page.screenshot({ path: out });
await browser.close();
