// Opens a report in headless Chromium and prints what a reader would meet there, as one JSON object; judging it is the
// test's work (test_report.py).   node report_page.mjs REPORT.html [FOLDER for screenshots]
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(new URL("../web/package.json", import.meta.url));
const { chromium } = require("playwright-core");

const VIEWS = [
  { name: "light", colorScheme: "light", width: 1040, height: 1300 },
  { name: "dark", colorScheme: "dark", width: 1040, height: 1300 },
  { name: "phone", colorScheme: "light", width: 390, height: 844 },
];

function look() {
  const box = (node) => {
    const { left, top, right, bottom } = node.getBoundingClientRect();
    return { left, top, right, bottom };
  };
  const figures = [...document.querySelectorAll("figure.plot")].map((figure) => {
    const marks = {};
    for (const group of figure.querySelectorAll("svg g[aria-label]")) {
      const name = group.getAttribute("aria-label");
      if (/axis|grid/.test(name)) continue;
      (marks[name] ??= []).push(...[...group.querySelectorAll("circle, path, rect, line")].map(box));
    }
    const boxes = [...figure.querySelectorAll("svg g.node rect, svg path.edge")].map(box);
    if (boxes.length > 0) marks.graph = boxes;
    const texts = [...figure.querySelectorAll("svg")].flatMap((svg, at) =>
      [...svg.querySelectorAll("text")].filter((t) => t.textContent.trim() !== "").map((t) => ({ svg: at, text: t.textContent, ...box(t) })));
    return { id: figure.id, marks, texts, svgs: [...figure.querySelectorAll("svg")].map(box), caption: figure.querySelector("figcaption").textContent };
  });
  const tables = {};
  for (const table of document.querySelectorAll("table")) {
    tables[table.id] = [...table.rows].map((row) => [...row.cells].map((cell) => cell.textContent));
  }
  const cards = [...document.querySelectorAll(".card")].map((card) => ({
    text: card.textContent,
    overflows: [...card.children].some((child) => child.scrollWidth > child.clientWidth + 1),
  }));
  const samples = [...document.querySelectorAll(".sample")].map((sample) => ({
    question: sample.querySelector(".question").textContent,
    answers: [...sample.querySelectorAll(".answer")].map((answer) => ({
      heading: answer.querySelector("h4").textContent,
      thought: answer.querySelector(".thought pre")?.textContent ?? "",
      content: answer.querySelector(":scope > pre")?.textContent ?? "",
    })),
  }));
  const scrolls = [...document.querySelectorAll(".scroll")].map((one) => ({
    table: one.firstElementChild.id, beyond: one.scrollWidth > one.clientWidth + 1, shaded: getComputedStyle(one).backgroundImage !== "none" }));
  const rejects = [...document.querySelectorAll(".rejects")].map((one) => ({
    summary: one.querySelector("summary").textContent,
    records: [...one.querySelectorAll(".reject")].map((record) => record.textContent),
  }));
  return {
    scrolls, rejects, unlike: [...document.querySelectorAll(".unlike p")].map((p) => p.textContent),
    title: document.title,
    heading: document.querySelector("h1").textContent,
    body: { scroll: document.documentElement.scrollWidth, client: document.documentElement.clientWidth },
    ink: getComputedStyle(document.body).color,
    paper: getComputedStyle(document.body).backgroundColor,
    figures, tables, cards, samples,
    strangers: document.querySelectorAll("img, iframe, object, embed, link[rel=stylesheet]").length,
    harmed: window.harmed ?? null,
  };
}

const [file, folder] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
const views = {};
try {
  for (const view of VIEWS) {
    const page = await browser.newPage({ viewport: { width: view.width, height: view.height }, colorScheme: view.colorScheme });
    const errors = [], requests = [];
    page.on("console", (message) => errors.push(`${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => errors.push(`page error: ${error.message}`));
    page.on("request", (request) => requests.push(request.url()));
    await page.goto(pathToFileURL(file).href);
    await page.waitForSelector("h1");
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    views[view.name] = { ...(await page.evaluate(look)), errors, requests };
    if (folder) await page.screenshot({ path: `${folder}/${view.name}.png`, fullPage: true });
    await page.close();
  }
} finally {
  await browser.close();
}
console.log(JSON.stringify(views));
