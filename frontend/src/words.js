// What scripts say: the page brings it, in its language (`Shell.words` in config/shell.py).
const words = JSON.parse(document.getElementById("words").textContent);
const kind = new Intl.PluralRules(document.documentElement.lang);

// The text `name`, with what stands for each {…} in it.
export const text = (name, told = {}) => fill(words[name], told);

// The same of `n` things, which may be `shown` as "99+". Of each plural there is an example: what is said of a number
// that is counted like `n`.
export function counted(name, n, shown = n) {
  const like = Object.keys(words[name]).find((example) => kind.select(Number(example)) === kind.select(n));
  return fill(words[name][like ?? 100], { n: shown });
}

const fill = (pattern, told) => pattern.replace(/{(\w+)}/g, (whole, key) => told[key] ?? whole);
