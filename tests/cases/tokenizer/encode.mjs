// Encodes the texts of encodings.json with the reference implementation (Hugging Face tokenizers,
// written in Rust) and writes the ids into the file. Run by hand when a text is added:
//   npm install --no-save tokenizers@0.23.2
//   node tests/cases/tokenizer/encode.mjs embedded=models/tiny published=FOLDER
import { readFileSync, writeFileSync } from "node:fs";
import tokenizers from "tokenizers";

const file = new URL("encodings.json", import.meta.url);
const cases = JSON.parse(readFileSync(file, "utf8"));
const ids = {};
for (const argument of process.argv.slice(2)) {
  const [name, folder] = argument.split("=");
  const tokenizer = tokenizers.Tokenizer.fromFile(`${folder}/tokenizer.json`);
  const encode = (text) => tokenizer.encode(text, null, { addSpecialTokens: false });
  ids[name] = (await Promise.all(cases.texts.map(encode))).map((one) => [...one.getIds()]);
}
writeFileSync(file, JSON.stringify({ texts: cases.texts, ids }) + "\n");
