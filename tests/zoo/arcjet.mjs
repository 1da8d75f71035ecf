// What the packages of Arcjet give by their own JavaScript: FOLDER FUNCTION INPUT
//
// Each line of the input is the arguments in JSON, with the names that the component has. Each result is shown as
// `rwasm-cluster map` shows it.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [folder, name, input] = process.argv.slice(2);
const camel = (text) => text.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
const kebab = (text) => text.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

// Names in JavaScript are written otherwise, and an absent option is `undefined`.
const renamed = (value, rename) => {
  if (value === null || value === undefined) return rename === camel ? undefined : null;
  if (rename === camel && typeof value === "object" && Array.isArray(value.entities)) {
    // Cases of a variant.
    value = { ...value, entities: value.entities.map((tag) => ({ tag })) };
  }
  if (Array.isArray(value)) return value.map((one) => renamed(one, rename));
  if (typeof value !== "object") return value;
  const keys = Object.keys(value);
  // A case of a variant without a payload.
  if (rename === kebab && keys.length === 1 && keys[0] === "tag") return value.tag;
  return Object.fromEntries(keys.map((key) => [rename(key), renamed(value[key], rename)]));
};

const { initializeWasm } = await import(pathToFileURL(`${folder}/package/index.js`));
const unwanted = () => {
  throw new Error("nobody offers this");
};
// One package takes two functions, the other one the functions of each interface: whatever is asked for is this one.
const unwantedOnes = new Proxy(unwanted, { get: () => unwantedOnes });
const instance = await initializeWasm(unwantedOnes, unwantedOnes);
for (const line of readFileSync(input, "utf8").trim().split("\n")) {
  const values = JSON.parse(line).map((value) => renamed(value, camel));
  console.log(JSON.stringify(renamed(instance[camel(name)](...values), kebab)));
}
