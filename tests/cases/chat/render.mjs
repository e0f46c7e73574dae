// Renders the conversations of conversations.json with an independent Jinja implementation and
// writes the results into the file. Run by hand when a conversation is added:
//   npm install --no-save @huggingface/jinja@0.5.11 && node tests/cases/chat/render.mjs
import { readFileSync, writeFileSync } from "node:fs";
import { Template } from "@huggingface/jinja";

const file = new URL("conversations.json", import.meta.url);
const cases = JSON.parse(readFileSync(file, "utf8"));
const render = (name, messages) =>
  new Template(cases.templates[name]).render({
    messages,
    bos_token: "<｜begin▁of▁sentence｜>",
    eos_token: "<｜end▁of▁sentence｜>",
    add_generation_prompt: true,
  });

for (const conversation of cases.conversations) {
  conversation.expected = Object.fromEntries(
    Object.keys(cases.templates).map((name) => [name, render(name, conversation.messages)]),
  );
}
writeFileSync(file, JSON.stringify(cases, null, 1) + "\n");
