// Makes a component of a JavaScript module. Arguments: the directory of componentize-js, the module, the directory of
// its WIT, the world, the file to write.
import { spawnSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [packageDir, sourcePath, witPath, worldName, output] = process.argv.slice(2);

// What a task does not name it does not import. There is no HTTP for tasks; the messages of exceptions go by stdio.
const NEVER = ["http", "fetch-event"];
const BY_NAME = {
  random: /\b(random|crypto)\b/,
  clocks: /\b(Date|performance|setTimeout|setInterval|Temporal)\b/,
};

// The text of a module and of all that it imports by relative paths.
async function textOf(path, known = new Set()) {
  if (known.has(path)) {
    return "";
  }
  known.add(path);
  let text = await readFile(path, "utf8");
  for (const [, , imported] of text.matchAll(/\b(from|import)\s*\(?\s*["'](\.{1,2}\/[^"']+)["']/g)) {
    text += "\n" + (await textOf(resolve(dirname(path), imported), known));
  }
  return text;
}

// What node has to say about the module's syntax, of which componentize-js only says that it is wrong.
async function wrongSyntax() {
  const source = await readFile(sourcePath).catch(() => "");
  const check = spawnSync(process.execPath, ["--input-type=module", "--check", "-"], { input: source });
  const [said] = check.status === 0 ? [""] : String(check.stderr).split("\n    at ");
  return said.replace("[stdin]", sourcePath).replace(/\n+/g, "\n").trim();
}

try {
  const manifest = JSON.parse(await readFile(join(packageDir, "package.json"), "utf8"));
  const entry = manifest.exports?.import ?? manifest.main ?? "src/componentize.js";
  const { componentize } = await import(pathToFileURL(join(packageDir, entry)));
  const text = await textOf(sourcePath);
  const unused = Object.keys(BY_NAME).filter((feature) => !BY_NAME[feature].test(text));
  const { component } = await componentize({
    sourcePath,
    witPath,
    worldName,
    disableFeatures: [...NEVER, ...unused],
  });
  await writeFile(output, component);
} catch (error) {
  console.error(error?.message ?? String(error));
  const said = await wrongSyntax();
  if (said !== "") {
    console.error(said);
  }
  process.exitCode = 1;
}
