// Makes a component of a JavaScript module. Arguments: the directory of componentize-js, the module, the directory of
// its WIT, the world, the file to write; beside that, a changed engine is kept for as long as it is needed.
import { spawnSync } from "node:child_process";
import { readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [packageDir, sourcePath, witPath, worldName, output] = process.argv.slice(2);

// What a task does not name it does not import. There is no HTTP for tasks; the messages of exceptions go by stdio.
const NEVER = ["http", "fetch-event"];
const BY_NAME = {
  random: /\b(random|crypto)\b/,
  clocks: /\b(Date|performance|setTimeout|setInterval|Temporal)\b/,
};

// The engine bounds its collected heap by 32 MiB, however much memory its task may have. Where it sets that bound, it is
// told not to have one: `i32.const 0x2000000, i32.store` becomes `i32.const -1, i32.store`, of the same length.
const BOUNDED = Buffer.from([0x41, 0x80, 0x80, 0x80, 0x10, 0x36, 0x02, 0x00]);
const UNBOUNDED = Buffer.from([0x41, 0xff, 0xff, 0xff, 0x7f, 0x36, 0x02, 0x00]);

// The engine without that bound, written to `path`; nothing where it is not the engine that is known.
async function unboundedEngine(path) {
  const known = join(packageDir, "lib/starlingmonkey_embedding.wasm");
  const engine = await readFile(known).catch(() => Buffer.alloc(0));
  const at = engine.indexOf(BOUNDED);
  if (at < 0 || engine.indexOf(BOUNDED, at + 1) >= 0) {
    console.error("its engine is not the one that is known: the values of a task may have 32 MiB, whatever --memory says");
    return undefined;
  }
  UNBOUNDED.copy(engine, at);
  await writeFile(path, engine);
  return path;
}

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

const enginePath = `${output}.engine`;
try {
  const manifest = JSON.parse(await readFile(join(packageDir, "package.json"), "utf8"));
  const entry = manifest.exports?.import ?? manifest.main ?? "src/componentize.js";
  const { componentize } = await import(pathToFileURL(join(packageDir, entry)));
  const text = await textOf(sourcePath);
  const unused = Object.keys(BY_NAME).filter((feature) => !BY_NAME[feature].test(text));
  const engine = await unboundedEngine(enginePath);
  const { component } = await componentize({
    engine,
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
} finally {
  await rm(enginePath, { force: true });
}
