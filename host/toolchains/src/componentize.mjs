// Makes a component of a JavaScript module. Arguments: the directory of componentize-js, the module, the directory of
// its WIT, the world, the file to write.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [packageDir, sourcePath, witPath, worldName, output] = process.argv.slice(2);

try {
  const manifest = JSON.parse(await readFile(join(packageDir, "package.json"), "utf8"));
  const entry = manifest.exports?.import ?? manifest.main ?? "src/componentize.js";
  const { componentize } = await import(pathToFileURL(join(packageDir, entry)));
  const { component } = await componentize({
    sourcePath,
    witPath,
    worldName,
    disableFeatures: ["http", "fetch-event"],
  });
  await writeFile(output, component);
} catch (error) {
  console.error(error?.message ?? String(error));
  process.exitCode = 1;
}
