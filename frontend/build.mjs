// Bundles the scripts and copies the fonts and every licence that travels with them into ../static/dist.
import { build } from "esbuild";
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

const out = "../static/dist";
rmSync(out, { recursive: true, force: true });
mkdirSync(`${out}/fonts`, { recursive: true });

await build({
  entryPoints: ["src/app.js", "src/charts.js", "src/theme.js", "src/docs.js", "src/passkeys.js"],
  bundle: true, minify: true, format: "iife", target: "es2022",
  outdir: out, legalComments: "eof", logLevel: "info",
});

for (const font of ["inter", "jetbrains-mono"]) {
  const from = `node_modules/@fontsource-variable/${font}`;
  copyFileSync(`${from}/files/${font}-latin-wght-normal.woff2`, `${out}/fonts/${font}-latin-wght-normal.woff2`);
  copyFileSync(`${from}/LICENSE`, `${out}/fonts/${font}-OFL.txt`);
}

// What the bundles are made of, with each licence in full. Icons come from the Python package, inline in the pages.
const parts = [
  ["htmx.org", "app.js"],
  ["basecoat-css", "app.js, app.css"],
  ["tailwindcss", "app.css, admin.css, docs.css"],
  ["uplot", "charts.js, app.css"],
  ["@fontsource-variable/inter", "fonts/inter-latin-wght-normal.woff2"],
  ["@fontsource-variable/jetbrains-mono", "fonts/jetbrains-mono-latin-wght-normal.woff2"],
].map(([name, where]) => {
  const { version, license } = JSON.parse(readFileSync(`node_modules/${name}/package.json`));
  const file = name === "basecoat-css" ? "LICENSE.md" : "LICENSE";
  const text = license.startsWith("OFL") ? "See the OFL text beside the font." : readFileSync(`node_modules/${name}/${file}`, "utf8").trim();
  return `## ${name} ${version} (${license})\n\nIn ${where}.\n\n${text.split("\n").map((line) => `    ${line}`.trimEnd()).join("\n")}\n`;
});
writeFileSync(`${out}/THIRD_PARTY.md`, `# Third-party parts of these files\n\n${parts.join("\n")}`);
