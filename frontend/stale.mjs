// Is the committed style sheet what its sources make? Run after a build. Fails when it lacks a class the templates use;
// anything else that differs is shown and passes, since the minifier may order and shorten otherwise on another machine.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

const git = (...args) => execFileSync("git", args, { encoding: "utf8", maxBuffer: 2 ** 26 });
const root = git("rev-parse", "--show-toplevel").trim();
const rules = (css) => css.replace(/[{};]/g, "$&\n").split("\n");
const classes = (css) => new Set([...css.matchAll(/\.((?:\\.|[\w-])+)/g)].map(([, name]) => name.replace(/\\/g, "")));
const without = (all, known) => [...new Set(all)].filter((one) => !known.has(one));

const committed = git("show", "HEAD:static/dist/app.css");
const built = readFileSync(`${root}/static/dist/app.css`, "utf8");
if (committed === built) process.exit(0);

for (const [sign, left, right] of [["+", built, committed], ["-", committed, built]])
  for (const line of without(rules(left), new Set(rules(right))).slice(0, 60)) console.log(sign, line.slice(0, 200));

const used = git("grep", "-hoE", String.raw`[^ "'{}<>=]+`, "HEAD", "--", ":(top)templates");
const words = new Set(used.split("\n"));
const missing = without(classes(built), classes(committed)).filter((name) => words.has(name));
if (missing.length) {
  console.error(`static/dist/app.css is stale: run "make assets" and commit it. It lacks: ${missing.join(", ")}`);
  process.exit(1);
}
console.log("The style sheet differs from the committed one, but lacks no class that the templates use.");
