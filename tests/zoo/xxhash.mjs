// Hashes of zero bytes by xxhash-wasm's own JavaScript: FOLDER FUNCTION INPUT
//
// Each line of the input is what the exported function takes: an address, which holds zeros, a length and a seed.
import { readFileSync } from "node:fs";

const [folder, name, input] = process.argv.slice(2);
const { default: xxhash } = await import(`${folder}/package/esm/xxhash-wasm.js`);
const { h32Raw, h64Raw } = await xxhash();
for (const line of readFileSync(input, "utf8").trim().split("\n")) {
  const [, length, seed] = JSON.parse(line);
  const zeros = new Uint8Array(length);
  // The module's functions give signed numbers, the package's unsigned ones.
  console.log(name === "xxh64" ? BigInt.asIntN(64, h64Raw(zeros, BigInt(seed))).toString() : h32Raw(zeros, seed) | 0);
}
